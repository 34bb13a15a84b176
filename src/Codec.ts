/**
 * How typed values become the text or bytes that a store keeps, and how they are read again.
 *
 * A codec is compiled once, from a `Schema`, and refuses what it could not give back unchanged.
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Equivalence } from "effect/Equivalence"
import * as Exit from "effect/Exit"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as canonicalJson from "./internal/codec/canonicalJson.js"
import * as compression from "./internal/codec/compression.js"
import * as encryption from "./internal/codec/encryption.js"
import * as messagePack from "./internal/codec/msgpack.js"
import { andThen, fromParser, isDone } from "./internal/done.js"
import type { Value } from "./Storage.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: TypeId = "~effect-kv/Codec"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = "~effect-kv/Codec"

/**
 * Where a value is stored: what errors name, and what an encrypted value is bound to.
 *
 * @since 0.1.0
 * @category models
 */
export interface At {
  readonly keyspace: string
  readonly key: string
}

/**
 * Turns values of type `A` into text or bytes and back.
 *
 * A codec that needs no asynchronous work returns an `Exit`, which is an `Effect` that is already done: stores use it
 * at once, and can run it inside an atomic update.
 *
 * @since 0.1.0
 * @category models
 */
export interface Codec<in out A, out R = never> {
  readonly [TypeId]: TypeId
  readonly encode: (value: A, at: At) => Effect.Effect<Value, CodecError, R>
  readonly decode: (stored: Value, at: At) => Effect.Effect<A, CodecError, R>
  /** When two values are the same value; what `compareAndSet` compares by. */
  readonly equivalence: Equivalence<A>
  /** What is stored depends on where: it cannot be copied to another key as it is. */
  readonly bindsToKey: boolean
  /** What it stores is text, which a store of bytes keeps as UTF-8. */
  readonly storesText: boolean
}

const schemaHint =
  "\nIf the schema has changed, give new fields a default, accept both forms, or, where a store has it, " +
  "set onDecodeFailure to \"miss\""

/**
 * A value that its codec does not encode, or a stored one that it does not decode: most often the schema has changed
 * since it was written. Nothing was written.
 *
 * @since 0.1.0
 * @category errors
 */
export class CodecError extends Data.TaggedError("CodecError")<{
  readonly operation: "encode" | "decode"
  readonly keyspace: string
  readonly key: string
  /** What does not fit, in words. */
  readonly detail: string
  /** What does not fit, as the schema reports it, if it was the schema. */
  readonly issue?: ParseResult.ParseIssue | undefined
  readonly cause?: unknown
}> {
  override get message(): string {
    const place = `key ${JSON.stringify(this.key)} in keyspace ${JSON.stringify(this.keyspace)}`
    return this.operation === "encode"
      ? `cannot encode the value for ${place}: ${this.detail}`
      : `cannot decode what is stored at ${place}: ${this.detail}` + (this.issue === undefined ? "" : schemaHint)
  }
}

/**
 * Makes a codec of one's own. Return an `Exit` wherever no asynchronous work is needed. Set `bindsToKey` if what `encode`
 * makes depends on `at`, and `storesText` if it is always text.
 *
 * @example
 * ```ts
 * import { Equal, Exit } from "effect"
 * import { Codec } from "effect-kv"
 *
 * // A date as its day, "2026-11-20": sorts, and reads well in a database browser.
 * const day = Codec.make<Date>({
 *   decode: (stored, at) => {
 *     const date = new Date(`${stored}T00:00:00Z`)
 *     return Number.isNaN(date.getTime())
 *       ? Exit.fail(new Codec.CodecError({ ...at, detail: "not a day", operation: "decode" }))
 *       : Exit.succeed(date)
 *   },
 *   encode: (date) => Exit.succeed(date.toISOString().slice(0, 10)),
 *   equivalence: (a, b) => Equal.equals(a.getTime(), b.getTime()),
 *   storesText: true
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A, R = never>(
  codec: Omit<Codec<A, R>, TypeId | "bindsToKey" | "storesText"> & {
    readonly bindsToKey?: boolean | undefined
    readonly storesText?: boolean | undefined
  }
): Codec<A, R> => ({
  [TypeId]: TypeId,
  ...codec,
  bindsToKey: codec.bindsToKey ?? false,
  storesText: codec.storesText ?? false
})

const failure = (operation: "encode" | "decode", at: At, detail: string, more?: {
  readonly issue?: ParseResult.ParseIssue
  readonly cause?: unknown
}): CodecError => new CodecError({ ...at, detail, operation, ...more })

/**
 * Values as canonical JSON (RFC 8785: sorted members, no white space), through the schema: equal values have equal
 * texts. This is the default of every store.
 *
 * What JSON lacks must be given a form by the schema (`Schema.Date`, `Schema.BigInt`, `Schema.Uint8ArrayFromBase64`).
 * What has none fails as `CodecError` instead of being changed: `NaN`, infinities, lone surrogates, `undefined` in an
 * array, functions, class instances that the schema does not encode. A value that encodes to `undefined` is kept as the empty
 * text, so `Schema.Void` and `Schema.UndefinedOr` work.
 *
 * @since 0.1.0
 * @category constructors
 */
export const json = <A, I, R>(schema: Schema.Schema<A, I, R>): Codec<A, R> =>
  ofSchema(schema, {
    name: "JSON",
    storesText: true,
    parse: (stored) => {
      if (typeof stored !== "string") throw new Error("bytes are stored there, and JSON is text")
      return stored === "" ? undefined : JSON.parse(stored)
    },
    print: (encoded) => encoded === undefined ? "" : canonicalJson.print(encoded)
  })

/**
 * Values as MessagePack, through the schema: smaller than JSON, with bytes, dates and 64-bit integers of its own. Members
 * are sorted: equal values have equal bytes.
 *
 * `undefined`, `NaN`, the infinities, `Date`, `Uint8Array` and `bigint` of 64 bits come back as they are, a number as a
 * number and a `bigint` as a `bigint`; `-0` comes back as `0`, a `Buffer` as a `Uint8Array`. What does not come back fails
 * as `CodecError`: a `bigint` of more bits, an invalid `Date`, lone surrogates, text that begins with a byte order mark, a
 * member named `__proto__`, functions, symbols, holes in arrays, what is nested more than 500 deep, other class instances
 * that the schema does not encode. So do bytes that are not MessagePack, or have types that this codec does not write.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Codec, KeyValueStore } from "effect-kv"
 *
 * const Photo = Schema.Struct({ taken: Schema.DateFromSelf, pixels: Schema.Uint8ArrayFromSelf })
 *
 * class Photos extends KeyValueStore.Tag<Photos>()("app/Photos", {
 *   keyspace: "photos",
 *   value: Codec.msgpack(Photo)
 * }) {}
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const msgpack = <A, I, R>(schema: Schema.Schema<A, I, R>): Codec<A, R> =>
  ofSchema(schema, {
    name: "MessagePack",
    parse: (stored) => {
      if (typeof stored === "string") throw new Error("text is stored there, and MessagePack is bytes")
      return messagePack.parse(stored)
    },
    print: messagePack.print,
    storesText: false
  })

/** How the encoded form of a schema is written. Both throw on what has no form. */
interface Format {
  readonly name: string
  readonly print: (encoded: unknown) => Value
  readonly parse: (stored: Value) => unknown
  readonly storesText: boolean
}

const ofSchema = <A, I, R>(schema: Schema.Schema<A, I, R>, { name, parse, print, storesText }: Format): Codec<A, R> => {
  const encode = ParseResult.encode(schema)
  const decode = ParseResult.decodeUnknown(schema)
  const misfit = (operation: "encode" | "decode", at: At) => (issue: ParseResult.ParseIssue) =>
    failure(operation, at, ParseResult.TreeFormatter.formatIssueSync(issue), { issue })
  return make<A, R>({
    decode: (stored, at) => {
      let parsed: unknown
      try {
        parsed = parse(stored)
      } catch (cause) {
        return Exit.fail(failure("decode", at, `not ${name}: ${String(cause)}`, { cause }))
      }
      return orThrown("decode", at, () => fromParser(decode(parsed), misfit("decode", at), Exit.succeed))
    },
    encode: (value, at) =>
      orThrown("encode", at, () =>
        fromParser(encode(value), misfit("encode", at), (encoded) => {
          try {
            return Exit.succeed(print(encoded))
          } catch (cause) {
            return Exit.fail(
              failure("encode", at, `${cause instanceof Error ? cause.message : String(cause)}`, { cause })
            )
          }
        })),
    equivalence: lazyEquivalence(schema),
    storesText
  })
}

/** A schema that throws, as it does on a value that contains itself, is one that fails. */
const orThrown = <A, R>(
  operation: "encode" | "decode",
  at: At,
  run: () => Effect.Effect<A, CodecError, R>
): Effect.Effect<A, CodecError, R> => {
  try {
    return run()
  } catch (cause) {
    return Exit.fail(failure(operation, at, `the codec threw ${String(cause)}`, { cause }))
  }
}

/** Schemas that are never compared need no equivalence, and some have none. */
const lazyEquivalence = <A, I, R>(schema: Schema.Schema<A, I, R>): Equivalence<A> => {
  let compiled: Equivalence<A> | undefined
  return (a, b) => (compiled ??= Schema.equivalence(schema))(a, b)
}

/**
 * Strings as they are. A string with a lone surrogate has no UTF-8 form and fails as `CodecError`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const text: Codec<string> = make({
  decode: (stored, at) =>
    typeof stored === "string"
      ? Exit.succeed(stored)
      : Exit.fail(failure("decode", at, "bytes are stored there, not text")),
  encode: (value, at) =>
    typeof value !== "string"
      ? Exit.fail(failure("encode", at, `${typeof value} is not a string`))
      : value.isWellFormed()
      ? Exit.succeed(value)
      : Exit.fail(failure("encode", at, "the text contains a lone surrogate, which has no UTF-8 form")),
  equivalence: (a, b) => a === b,
  storesText: true
})

/**
 * Bytes as they are.
 *
 * @since 0.1.0
 * @category constructors
 */
export const bytes: Codec<Uint8Array> = make({
  decode: (stored, at) =>
    typeof stored === "string"
      ? Exit.fail(failure("decode", at, "text is stored there, not bytes"))
      : Exit.succeed(stored),
  encode: (value, at) =>
    value instanceof Uint8Array
      ? Exit.succeed(value)
      : Exit.fail(failure("encode", at, `${typeof value} is not a Uint8Array`)),
  equivalence: (a, b) => Buffer.compare(a, b) === 0
})

/**
 * Text or bytes as they are, each kept as what it is: the codec of the plain `KeyValueStore`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const raw: Codec<Value> = make<Value>({
  decode: Exit.succeed,
  encode: (value, at) => typeof value === "string" ? text.encode(value, at) : bytes.encode(value, at),
  equivalence: (a, b) => typeof a === "string" || typeof b === "string" ? a === b : bytes.equivalence(a, b)
})

/**
 * @since 0.1.0
 * @category models
 */
export interface CompressionOptions {
  /** From 1, the fastest, to 9, the smallest; 6. */
  readonly level?: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | undefined
}

/** The most that a compressed value may become: a small one that was forged cannot fill the memory. */
const maxLength = 1_000_000_000

/**
 * Compresses what another codec stores, by deflate. Stored are bytes; they are never more than one byte longer than what
 * the other codec made of the value, for what does not get smaller is kept as it is.
 *
 * Values of at most 64 KiB, before they are compressed, are done at once. The work on longer ones is done by zlib's
 * threads, so it does not hold the event loop. A value longer than 1,000,000,000 bytes fails as `CodecError`, and so does
 * what was compressed and is damaged.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Codec, KeyValueStore } from "effect-kv"
 *
 * const Report = Schema.Struct({ title: Schema.String, lines: Schema.Array(Schema.String) })
 *
 * class Reports extends KeyValueStore.Tag<Reports>()("app/Reports", {
 *   keyspace: "reports",
 *   value: Codec.compressed(Codec.json(Report))
 * }) {}
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const compressed = <A, R>(codec: Codec<A, R>, options: CompressionOptions = {}): Codec<A, R> => {
  const limits = { level: options.level, maxLength }
  const orFail = <B>(operation: "encode" | "decode", at: At, self: Effect.Effect<B, compression.Fault>) => {
    const fail = ({ cause, message }: compression.Fault) => failure(operation, at, message, { cause })
    return isDone(self) ? Exit.mapError(self, fail) : Effect.mapError(self, fail)
  }
  return make<A, R>({
    bindsToKey: codec.bindsToKey,
    decode: (stored, at) =>
      andThen(orFail("decode", at, compression.decompress(stored, limits)), (value) => codec.decode(value, at)),
    encode: (value, at) =>
      andThen(codec.encode(value, at), (value) => orFail("encode", at, compression.compress(value, limits))),
    equivalence: codec.equivalence
  })
}

/**
 * The 32 bytes of a key, or a text of them: 64 hex digits, or 43 digits of base64 or base64url.
 *
 * @since 0.1.0
 * @category models
 */
export type EncryptionKey = Redacted.Redacted<string> | Redacted.Redacted<Uint8Array>

/**
 * Encrypts and authenticates what another codec stores, by AES-256-GCM. Stored are bytes, 33 more than what the other
 * codec made of the value.
 *
 * Of several keys the first encrypts, and any decrypts: to rotate keys, put a new one first. A value is bound to its
 * keyspace and key: it does not decrypt anywhere else. What is damaged, moved, or encrypted with a key that is not given,
 * fails as `CodecError`, and so does everything if a key is not 32 bytes. No error shows a key or what is encrypted, so a
 * value that does not fit the other codec fails without a word of what does not fit.
 *
 * Keys (the names), keyspaces, sizes and expiry times are not encrypted. Nonces are random: a key is good for 2^32 writes.
 *
 * @example
 * ```ts
 * import { Config, Effect, Schema } from "effect"
 * import { Codec, KeyValueStore } from "effect-kv"
 *
 * const Patient = Schema.Struct({ name: Schema.String, notes: Schema.String })
 *
 * const patients = Effect.map(Config.redacted("PATIENTS_KEY"), (key) =>
 *   KeyValueStore.make({
 *     keyspace: "patients",
 *     value: Codec.encrypted(Codec.compressed(Codec.json(Patient)), key)
 *   }))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const encrypted = <A, R>(
  codec: Codec<A, R>,
  key: EncryptionKey | Arr.NonEmptyReadonlyArray<EncryptionKey>
): Codec<A, R> => {
  const keyring = encryption.keyring(Redacted.isRedacted(key) ? [key] : key)
  return make<A, R>({
    bindsToKey: true,
    decode: (stored, at) =>
      andThen(
        withKeys("decode", at, keyring, (keys) => encryption.open(keys, stored, at)),
        (value) => withoutWords("decode", at, () => codec.decode(value, at))
      ),
    encode: (value, at) =>
      andThen(
        withoutWords("encode", at, () => codec.encode(value, at)),
        (value) => withKeys("encode", at, keyring, (keys) => encryption.seal(keys, value, at))
      ),
    equivalence: codec.equivalence
  })
}

const withKeys = <A>(
  operation: "encode" | "decode",
  at: At,
  keyring: Either.Either<ReadonlyArray<encryption.Key>, string>,
  f: (keys: ReadonlyArray<encryption.Key>) => Either.Either<A, string>
): Exit.Exit<A, CodecError> => {
  const result = Either.flatMap(keyring, f)
  return Either.isRight(result) ? Exit.succeed(result.right) : Exit.fail(failure(operation, at, result.left))
}

/** An error of the codec within, or what it throws, would show what is encrypted. */
const withoutWords = <A, R>(
  operation: "encode" | "decode",
  at: At,
  run: () => Effect.Effect<A, CodecError, R>
): Effect.Effect<A, CodecError, R> => {
  const fail = () =>
    failure(operation, at, "it does not fit the codec that is encrypted (why is not said: it would show the value)")
  try {
    const self = run()
    if (!isDone(self)) return Effect.catchAllDefect(Effect.mapError(self, fail), () => Effect.fail(fail()))
    return Exit.isSuccess(self) ? self : Exit.fail(fail())
  } catch {
    return Exit.fail(fail())
  }
}
