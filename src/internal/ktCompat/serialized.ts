/**
 * Whole containers as bytes.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Codec from "../../Codec.js"
import type { Dictionary, Failure } from "../../KtCompat.js"
import { KtError } from "../../KtError.js"
import type { Pair } from "../../KtTransport.js"
import { fromLatin1, latin1 } from "../kt/bytes.js"
import { readArray, readMap, writeArray, writeMap } from "../kt/formats.js"
import { decodeAll, decodePairs, encodeAll, encodePairs, type Values } from "./values.js"

const corrupt = (what: string, { key }: Codec.At): KtError =>
  new KtError({
    detail: `the bytes are not those of a ${what}`,
    key,
    method: "deserialize",
    reason: "CorruptContainer"
  })

/** @internal */
export const writeDict = <A>(
  values: Values<A>,
  all: Dictionary<string, A>,
  at: Codec.At
): Effect.Effect<Uint8Array, Failure> =>
  Effect.map(
    encodePairs(values, all, at),
    (pairs) => writeMap(new Map(pairs.map(([name, value]) => [latin1(name), value])))
  )

/** @internal */
export const readDict = <A>(
  values: Values<A>,
  bytes: Uint8Array,
  at: Codec.At
): Effect.Effect<ReadonlyMap<string, A>, Failure> => {
  const map = readMap(bytes)
  return map === undefined
    ? Effect.fail(corrupt("hash", at))
    : decodePairs(values, Array.from(map, ([name, value]): Pair => [fromLatin1(name), value]), at)
}

/** @internal */
export const writeList = <A>(
  values: Values<A>,
  all: Iterable<A>,
  at: Codec.At
): Effect.Effect<Uint8Array, Failure> => Effect.map(encodeAll(values, all, at), writeArray)

/** @internal */
export const readList = <A>(
  values: Values<A>,
  bytes: Uint8Array,
  at: Codec.At
): Effect.Effect<ReadonlyArray<A>, Failure> => {
  const items = readArray(bytes)
  return items === undefined ? Effect.fail(corrupt("list", at)) : decodeAll(values, items, at)
}
