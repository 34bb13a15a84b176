/**
 * What the containers of a client have in common: calls of procedures, and their answers.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Codec from "../../Codec.js"
import type { Failure, Key } from "../../KtCompat.js"
import { KtError } from "../../KtError.js"
import type { Database, KtTransport, Pair } from "../../KtTransport.js"
import type { InvalidKey } from "../../StorageError.js"
import { andThen, isDone } from "../done.js"
import { latin1 } from "../kt/bytes.js"
import { never } from "../kt/expiry.js"
import { noLoss } from "../kt/putBack.js"
import type { Restore } from "../storage/gate.js"
import { anyKey, at, decodeAll, nowhere, refuse, type Values } from "./values.js"

/**
 * Where a container is.
 *
 * @internal
 */
export interface Place {
  readonly transport: KtTransport["Type"]
  readonly db: Database
  /** Its key, or why that can be none. */
  readonly key: Exit.Exit<Uint8Array, InvalidKey | KtError>
}

/** @internal */
export interface Container<A> extends Place {
  /** How errors name it. */
  readonly at: Codec.At
  readonly values: Values<A>
}

/** @internal */
export const container = <A>(
  transport: KtTransport["Type"],
  db: Database,
  key: Key,
  values: Values<A>
): Container<A> => ({ at: at(key), db, key: anyKey(key), transport, values: movable(values) })

/** Values that are not bound to a key: they go from one container to another. An error names the one where it was. */
const movable = <A>(values: Values<A>): Values<A> => {
  const naming = ({ key }: Codec.At) => (error: Codec.CodecError) => new Codec.CodecError({ ...error, key })
  const named = <B>(self: Effect.Effect<B, Codec.CodecError>, at: Codec.At) =>
    isDone(self) ? Exit.mapError(self, naming(at)) : Effect.mapError(self, naming(at))
  return {
    ...values,
    decode: (stored, at) => named(values.decode(stored, nowhere), at),
    encode: (value, at) => named(values.encode(value, nowhere), at)
  }
}

/** @internal */
export type Parameters = Readonly<Record<string, string | number | Uint8Array | undefined>>

/**
 * Calls a procedure on the key of a container. Keys among its parameters are already bytes.
 *
 * @internal
 */
export const call = (
  { db, key, transport }: Place,
  name: string,
  own: string,
  parameters: Parameters = {},
  data: ReadonlyArray<Pair> = []
): Effect.Effect<ReadonlyArray<Pair>, Failure> =>
  andThen(key, (key) => {
    const given: Record<string, string | Uint8Array> = { [own]: key }
    for (const name of Object.keys(parameters)) {
      const value = parameters[name]
      if (value !== undefined) given[name] = typeof value === "number" ? String(value) : value
    }
    return transport.call({ data, db, name, parameters: given })
  })

/**
 * Has a procedure do without the oddities of the original: ranges and indexes mean what they do in Python, what is packed
 * does not include itself, and what removes nothing makes no record.
 *
 * @internal
 */
export const strict = { strict: "" } as const

/** @internal */
export const find = (pairs: ReadonlyArray<Pair>, name: string): Uint8Array | undefined =>
  pairs.find(([found]) => latin1(found) === name)?.[1]

/**
 * A value that an answer has to have.
 *
 * @internal
 */
export const valueIn = (pairs: ReadonlyArray<Pair>, name: string): Exit.Exit<Uint8Array, KtError> => {
  const value = find(pairs, name)
  return value === undefined
    ? Exit.fail(new KtError({ detail: `the answer of a procedure lacks ${name}`, method: "call", reason: "Protocol" }))
    : Exit.succeed(value)
}

/**
 * A number that an answer has to have.
 *
 * @internal
 */
export const numberIn = (pairs: ReadonlyArray<Pair>, name: string): Exit.Exit<number, KtError> =>
  Exit.map(valueIn(pairs, name), (value) => Number(latin1(value)))

/**
 * How many an answer tells.
 *
 * @internal
 */
export const counted = (asked: Effect.Effect<ReadonlyArray<Pair>, Failure>): Effect.Effect<number, Failure> =>
  Effect.flatMap(asked, (pairs) => numberIn(pairs, "num"))

/** Names are ordinals, which come sorted as text over the wire. */
const inOrder = (pairs: ReadonlyArray<Pair>): ReadonlyArray<Pair> =>
  [...pairs].sort(([a], [b]) => Number(latin1(a)) - Number(latin1(b)))

/**
 * The values of an answer by their ordinals.
 *
 * @internal
 */
export const listed = <A>(
  { at, values }: Container<A>,
  pairs: ReadonlyArray<Pair>
): Effect.Effect<ReadonlyArray<A>, Failure> => decodeAll(values, inOrder(pairs).map(([, value]) => value), at)

/** @internal */
export const optional = <A>(
  { at, values }: Container<A>,
  value: Uint8Array | undefined
): Effect.Effect<Option.Option<A>, Failure> =>
  value === undefined
    ? Effect.succeedNone
    : andThen(values.decode(value, at), (value) => Exit.succeed(Option.some(value)))

/**
 * Takes something out and decodes it. What cannot be decoded, or whose decoding is interrupted, is put back.
 *
 * @internal
 */
export const takingOut = <T, A>(
  take: (restore: Restore) => Effect.Effect<T, Failure>,
  decode: (taken: T) => Effect.Effect<A, Failure>,
  putBack: (taken: T) => Effect.Effect<unknown, Failure>
): Effect.Effect<A, Failure> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      take(restore),
      (taken) => Effect.onError(restore(decode(taken)), () => noLoss(putBack(taken)))
    )
  )

/**
 * As `takingOut`, for the value of an answer, if it has one.
 *
 * @internal
 */
export const takenOut = <A>(
  container: Container<A>,
  asked: Effect.Effect<ReadonlyArray<Pair>, Failure>,
  putBack: (value: Uint8Array) => Effect.Effect<unknown, Failure>
): Effect.Effect<Option.Option<A>, Failure> =>
  takingOut(
    () => Effect.map(asked, (pairs) => find(pairs, "value")),
    (value) => optional(container, value),
    (value) => value === undefined ? Effect.void : putBack(value)
  )

/** @internal */
export const outOfBounds = ({ at }: { readonly at: Codec.At }, method: string, index: number): KtError =>
  new KtError({
    detail: `there is no index ${index}`,
    key: at.key,
    method,
    reason: "IndexOutOfBounds"
  })

/**
 * A whole number that a method is given.
 *
 * @internal
 */
export const whole = (
  method: string,
  what: string,
  value: number | undefined,
  least = -Number.MAX_SAFE_INTEGER,
  most = Number.MAX_SAFE_INTEGER
): Exit.Exit<void, KtError> =>
  value === undefined || (Number.isInteger(value) && value >= least && value <= most)
    ? Exit.void
    : Exit.fail(refuse(method, `${what} is a whole number from ${least} to ${most}, not ${String(value)}`))

/**
 * A key that a method is given beside its own.
 *
 * @internal
 */
export const otherKey = (key: Key | undefined): Exit.Exit<Uint8Array | undefined, InvalidKey> =>
  key === undefined ? Exit.succeed(undefined) : anyKey(key)

/**
 * Removes the record of a container.
 *
 * @internal
 */
export const clear = ({ db, key, transport }: Place): Effect.Effect<boolean, Failure> =>
  andThen(key, (key) => Effect.suspend(() => transport.remove(db, key)))

/** @internal */
export const readRaw = <C>(
  { db, key, transport }: Place,
  read: (bytes: Uint8Array) => Effect.Effect<C, Failure>
): Effect.Effect<Option.Option<C>, Failure> =>
  andThen(key, (key) =>
    Effect.flatMap(
      Effect.suspend(() => transport.get(db, key)),
      (found): Effect.Effect<Option.Option<C>, Failure> =>
        Option.isNone(found) ? Effect.succeedNone : Effect.map(read(found.value.value), Option.some)
    ))

/**
 * Writes the bytes of a whole container. It does not expire.
 *
 * @internal
 */
export const writeRaw = (
  { db, key, transport }: Place,
  bytes: Effect.Effect<Uint8Array, Failure>
): Effect.Effect<void, Failure> =>
  Effect.flatMap(bytes, (bytes) => andThen(key, (key) => transport.set(db, key, bytes, never)))
