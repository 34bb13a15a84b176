/**
 * Keys, values and expire times of a client, and the bytes and rules that they are to the databases.
 *
 * @internal
 */
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Codec from "../../Codec.js"
import type { Dictionary, Expiration as Expires, Expire, ExpireTime, Failure, Key, Timeout } from "../../KtCompat.js"
import { KtError } from "../../KtError.js"
import type { Expiry, Pair } from "../../KtTransport.js"
import { InvalidKey } from "../../StorageError.js"
import { andThen, forEach } from "../done.js"
import { bytesOf, textOf, utf8 } from "../kt/bytes.js"
import { keep, never } from "../kt/expiry.js"
import { parseDuration } from "../storage/duration.js"
import { parseTime } from "../store/expiry.js"

/** How errors name where a value is. */
const keyspace = "kt"

/**
 * A kind of keys.
 *
 * @internal
 */
export interface Keys<K> {
  readonly encode: (key: K) => Exit.Exit<Uint8Array, InvalidKey>
  readonly decode: (key: Uint8Array) => Exit.Exit<K, Codec.CodecError>
  readonly similarBy: "codePoints" | "bytes"
}

const refuseKey = (key: unknown, issue: string): Exit.Exit<never, InvalidKey> =>
  Exit.fail(new InvalidKey({ issue, key, keyspace }))

/** @internal */
export const anyKey = (key: Key): Exit.Exit<Uint8Array, InvalidKey> => {
  if (typeof key !== "string") {
    return key instanceof Uint8Array ? Exit.succeed(key) : refuseKey(key, "a key is text or bytes")
  }
  return key.isWellFormed()
    ? Exit.succeed(utf8(key))
    : refuseKey(key, "it contains a lone surrogate, which has no UTF-8 form; check where it was cut")
}

/** @internal */
export const textKeys: Keys<string> = {
  decode: (key) => {
    const text = textOf(key)
    return text === undefined
      ? Exit.fail(
        new Codec.CodecError({
          detail: "the key is not UTF-8; use a client with keys of bytes (KtCompat.makeBytes)",
          key: Buffer.from(key).toString("hex"),
          keyspace,
          operation: "decode"
        })
      )
      : Exit.succeed(text)
  },
  encode: (key) => typeof key === "string" ? anyKey(key) : refuseKey(key, "it is not text"),
  similarBy: "codePoints"
}

/** @internal */
export const byteKeys: Keys<Uint8Array> = {
  decode: Exit.succeed,
  encode: (key) => key instanceof Uint8Array ? Exit.succeed(key) : refuseKey(key, "it is not bytes"),
  similarBy: "bytes"
}

/** @internal */
export const at = (key: Key): Codec.At => ({
  key: typeof key === "string" ? key : textOf(key) ?? Buffer.from(key).toString("hex"),
  keyspace
})

/**
 * Where values are that are in no record, or in one that is not known.
 *
 * @internal
 */
export const nowhere: Codec.At = { key: "", keyspace }

/**
 * How values are written.
 *
 * @internal
 */
export interface Values<A> {
  readonly encode: (value: A, at: Codec.At) => Effect.Effect<Uint8Array, Codec.CodecError>
  readonly decode: (stored: Uint8Array, at: Codec.At) => Effect.Effect<A, Codec.CodecError>
  /** Whether two stored values in a row are a stored value. */
  readonly appends: boolean
  /** Whether what is stored depends on the key. */
  readonly bindsToKey: boolean
}

const appending: ReadonlyArray<unknown> = [Codec.text, Codec.bytes]

/**
 * What a codec stores, as bytes. `codec` has what it needs; `given` is what the user gave.
 *
 * @internal
 */
export const valuesOf = <A>(codec: Codec.Codec<A>, given: unknown): Values<A> => ({
  appends: appending.includes(given),
  bindsToKey: codec.bindsToKey,
  decode: (stored, at) => {
    if (!codec.storesText) return codec.decode(stored, at)
    const text = textOf(stored)
    return text === undefined
      ? Exit.fail(
        new Codec.CodecError({
          ...at,
          detail: "it is not UTF-8; read it as bytes (getBytes, or withValues(KtCompat.none))",
          operation: "decode"
        })
      )
      : codec.decode(text, at)
  },
  encode: (value, at) =>
    andThen(codec.encode(value, at), (stored) =>
      typeof stored === "string" && !codec.storesText
        ? Exit.fail(
          new Codec.CodecError({
            ...at,
            detail: "the codec stores text and does not say so; set storesText where it is made (Codec.make)",
            operation: "encode"
          })
        )
        : Exit.succeed(bytesOf(stored)))
})

/** @internal */
export const encodeAll = <A>(
  values: Values<A>,
  all: Iterable<A>,
  at: Codec.At
): Effect.Effect<ReadonlyArray<Uint8Array>, Codec.CodecError> => forEach(all, (value) => values.encode(value, at))

/** @internal */
export const decodeAll = <A>(
  values: Values<A>,
  all: Iterable<Uint8Array>,
  at: Codec.At
): Effect.Effect<ReadonlyArray<A>, Codec.CodecError> => forEach(all, (stored) => values.decode(stored, at))

const isIterable = <K, A>(values: Dictionary<K, A>): values is Iterable<readonly [K, A]> =>
  Symbol.iterator in Object(values)

/** @internal */
export const entriesOf = <K, A>(values: Dictionary<K, A>): Iterable<readonly [K | string, A]> =>
  isIterable(values) ? values : Object.entries(values)

/**
 * Names with values of a container, as bytes.
 *
 * @internal
 */
export const encodePairs = <A>(
  values: Values<A>,
  pairs: Dictionary<string, A>,
  at: Codec.At
): Effect.Effect<ReadonlyArray<Pair>, Failure> =>
  forEach(
    entriesOf(pairs),
    ([name, value]) =>
      andThen(
        anyKey(name),
        (name) => andThen(values.encode(value, at), (value) => Exit.succeed<Pair>([name, value]))
      )
  )

/** @internal */
export const decodePairs = <A>(
  values: Values<A>,
  pairs: Iterable<Pair>,
  at: Codec.At
): Effect.Effect<ReadonlyMap<string, A>, Failure> =>
  Effect.map(
    forEach(pairs, ([name, value]) =>
      andThen(
        textKeys.decode(name),
        (name) => andThen(values.decode(value, at), (value) => Exit.succeed([name, value] as const))
      )),
    (all) => new Map(all)
  )

/**
 * Values by their names, which are text.
 *
 * @internal
 */
export const named = (pairs: Iterable<Pair>): Effect.Effect<ReadonlyMap<string, Uint8Array>, Codec.CodecError> =>
  Effect.map(
    forEach(pairs, ([name, value]) => andThen(textKeys.decode(name), (name) => Exit.succeed([name, value] as const))),
    (all) => new Map(all)
  )

// --- Expire times ---

/** @internal */
export const refuse = (method: string, detail: string): KtError =>
  new KtError({ detail, method, reason: "InvalidArgument" })

/** @internal */
export const expiryOf = (
  method: string,
  expireTime: ExpireTime | undefined,
  unsaid: Expiry
): Either.Either<Expiry, KtError> => {
  if (expireTime === undefined) return Either.right(unsaid)
  if (expireTime === "never") return Either.right(never)
  if (expireTime === "keep") return Either.right(keep)
  if (typeof expireTime === "number" || typeof expireTime === "bigint" || expireTime === null) {
    return Either.left(
      refuse(
        method,
        `${expireTime} is no expire time; give a duration ("${expireTime} seconds"), a DateTime, or KtCompat.expire(${expireTime})`
      )
    )
  }
  if (isExpire(expireTime)) {
    return Number.isNaN(expireTime.xt) ? Either.left(refuse(method, "NaN is no expire time")) : Either.right(expireTime)
  }
  const rule: Either.Either<Expiry, string> = DateTime.isDateTime(expireTime) || expireTime instanceof Date
    ? Either.map(parseTime(expireTime), (millis) => ({ _tag: "At", millis }))
    : Either.map(parseDuration(expireTime), (millis) => ({ _tag: "After", millis }))
  return Either.mapLeft(rule, (issue) => refuse(method, issue))
}

const isExpire = (expireTime: object | string): expireTime is Expire =>
  typeof expireTime === "object" && "_tag" in expireTime && expireTime._tag === "Xt"

/** From how many seconds on the original takes a number for a time: 180 days. */
const absolute = 15_552_000

/** @internal */
export const expire = (xt: number): Expire => ({ _tag: "Xt", xt: Math.trunc(xt >= absolute ? -xt : xt) })

/** @internal */
export const Expiration = Data.taggedEnum<Expires>()

/**
 * Milliseconds.
 *
 * @internal
 */
export const timeoutOf = (method: string, timeout: Timeout): Exit.Exit<number, KtError> => {
  if (typeof timeout === "number" || typeof timeout === "bigint") {
    return Exit.fail(refuse(method, `${timeout} is no time-out; give a duration ("${timeout} seconds")`))
  }
  const millis = parseDuration(timeout)
  return Either.isRight(millis) ? Exit.succeed(millis.right) : Exit.fail(refuse(method, millis.left))
}

/**
 * A time in milliseconds, or the last that there is.
 *
 * @internal
 */
export const timeAt = (millis: number): DateTime.Utc =>
  DateTime.unsafeMake(Math.max(-lastTime, Math.min(millis, lastTime)))

const lastTime = 8.64e15

/** @internal */
export const expirationOf = (expiresAt: number | undefined): Expires =>
  expiresAt === undefined ? Expiration.Persistent() : Expiration.Expires({ at: timeAt(expiresAt) })
