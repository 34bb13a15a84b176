/**
 * Which keys match a regular expression, or are similar to a text.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { distance as editDistance } from "fastest-levenshtein"
import { RE2JS } from "re2js"
import { KtError } from "../../KtError.js"
import type { Failure } from "../../KtTransport.js"
import { show } from "../show.js"
import { nextTurn, realMillis } from "../storage/compat.js"
import { maxKeyBytes } from "../storage/keys.js"
import { latin1, textOf } from "./bytes.js"
import type { Bytes } from "./databases.js"
import { toRe2 } from "./posix.js"

/** Whether keys match an expression; or what is wrong with that. */
const regexMatcher = (regex: Uint8Array): Either.Either<(key: Uint8Array) => boolean, string> =>
  Either.flatMap(toRe2(latin1(regex)), (translated) => {
    try {
      const compiled = RE2JS.compile(translated, RE2JS.DOTALL)
      return Either.right((key: Uint8Array) => compiled.test(latin1(key)))
    } catch (cause) {
      return Either.left(cause instanceof Error ? cause.message : String(cause))
    }
  })

const astral = /[\u{10000}-\u{10ffff}]/gu

/**
 * How many edits a key is away from the origin, or undefined if that is more than `most`. Where one of
 * them is not UTF-8 they are compared byte by byte.
 */
const similarity = (
  origin: Uint8Array,
  of: "codePoints" | "bytes",
  most: number
): (key: Uint8Array) => number | undefined => {
  const originText = of === "codePoints" ? textOf(origin) : undefined
  return (key) => {
    // The library counts code units: what has two is given one that stands for nothing else. A key has at most 512.
    const units = new Map<string, string>()
    const single = (character: string): string => {
      const unit = units.get(character) ?? String.fromCharCode(0xd800 + units.size)
      units.set(character, unit)
      return unit
    }
    const keyText = originText === undefined ? undefined : textOf(key)
    const isText = originText !== undefined && keyText !== undefined
    const a = isText ? originText.replace(astral, single) : latin1(origin)
    const b = isText ? keyText.replace(astral, single) : latin1(key)
    if (Math.abs(a.length - b.length) > most) return undefined
    const edits = editDistance(a, b)
    return edits <= most ? edits : undefined
  }
}

/** How long keys are looked at before others have their turn, in milliseconds. */
const longestHold = 5

/** What `f` makes of keys, leaving out those of which it makes nothing. */
const choosing = <A, E>(
  keys: Stream.Stream<Uint8Array, E>,
  f: (key: Uint8Array) => A | undefined
): Stream.Stream<A, E> =>
  Stream.mapChunksEffect(keys, (chunk) =>
    Effect.gen(function*() {
      const chosen: Array<A> = []
      let since = realMillis()
      for (const key of chunk) {
        const result = f(key)
        if (result !== undefined) chosen.push(result)
        if (realMillis() - since > longestHold) {
          yield* nextTurn
          since = realMillis()
        }
      }
      return Chunk.unsafeFromArray(chosen)
    }))

const collected = <A, E>(self: Stream.Stream<A, E>, max: number): Effect.Effect<ReadonlyArray<A>, E> =>
  Effect.map(Stream.runCollect(max === Infinity ? self : Stream.take(self, max)), Chunk.toReadonlyArray)

/** At most so many; what is no number of them, or below zero, is no limit. */
const limitOf = (max: number): number => max < 0 || Number.isNaN(max) ? Infinity : Math.floor(max)

/** @internal */
export const matchPrefix = (
  keyspace: Bytes,
  prefix: Uint8Array,
  max: number
): Effect.Effect<ReadonlyArray<Uint8Array>, Failure> =>
  collected(keyspace.keys({ limit: limitOf(max), prefix }), Infinity)

/** @internal */
export const matchRegex = (
  keyspace: Bytes,
  regex: Uint8Array,
  max: number
): Effect.Effect<ReadonlyArray<Uint8Array>, Failure> =>
  Effect.suspend(() =>
    Either.match(regexMatcher(regex), {
      onLeft: (issue): Effect.Effect<ReadonlyArray<Uint8Array>, Failure> =>
        Effect.fail(
          new KtError({
            detail: `${show(textOf(regex) ?? latin1(regex))} is no regular expression: ${issue}`,
            method: "matchRegex",
            reason: "InvalidPattern"
          })
        ),
      onRight: (matches) => collected(choosing(keyspace.keys(), (key) => matches(key) ? key : undefined), limitOf(max))
    })
  )

/** @internal */
export const matchSimilar = (
  keyspace: Bytes,
  origin: Uint8Array,
  distance: number,
  of: "codePoints" | "bytes",
  max: number
): Effect.Effect<ReadonlyArray<Uint8Array>, Failure> => {
  if (origin.length > maxKeyBytes) {
    return Effect.fail(
      new KtError({
        detail: `the origin has ${origin.length} bytes, and no key has more than ${maxKeyBytes}`,
        method: "matchSimilar",
        reason: "InvalidArgument"
      })
    )
  }
  const edits = similarity(origin, of, distance)
  const found = choosing(keyspace.keys(), (key) => {
    const away = edits(key)
    return away === undefined ? undefined : { away, key }
  })
  // Keys come in their order, and stay so where they are equally near.
  return Effect.map(
    collected(found, Infinity),
    (all) => [...all].sort((a, b) => a.away - b.away).slice(0, limitOf(max)).map(({ key }) => key)
  )
}
