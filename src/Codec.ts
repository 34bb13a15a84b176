/**
 * How typed values become the text or bytes that a store keeps, and how they are read again.
 *
 * A codec is compiled once, from a `Schema`, and refuses what it could not give back unchanged.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type { Equivalence } from "effect/Equivalence"
import * as Exit from "effect/Exit"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { print } from "./internal/canonicalJson.js"
import { fromParser } from "./internal/done.js"
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
}

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
      : `cannot decode what is stored at ${place}: ${this.detail}\n` +
        "If the schema has changed, give new fields a default, accept both forms, or set onDecodeFailure to \"miss\""
  }
}

/**
 * Makes a codec of one's own. Return an `Exit` wherever no asynchronous work is needed.
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
 *   equivalence: (a, b) => Equal.equals(a.getTime(), b.getTime())
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A, R = never>(codec: Omit<Codec<A, R>, TypeId>): Codec<A, R> => ({ [TypeId]: TypeId, ...codec })

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
export const json = <A, I, R>(schema: Schema.Schema<A, I, R>): Codec<A, R> => {
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
        return Exit.fail(failure("decode", at, `not JSON: ${String(cause)}`, { cause }))
      }
      return fromParser(decode(parsed), misfit("decode", at), Exit.succeed)
    },
    encode: (value, at) =>
      fromParser(encode(value), misfit("encode", at), (encoded) => {
        try {
          return Exit.succeed(encoded === undefined ? "" : print(encoded))
        } catch (cause) {
          return Exit.fail(
            failure("encode", at, `${cause instanceof Error ? cause.message : String(cause)}`, { cause })
          )
        }
      }),
    equivalence: lazyEquivalence(schema)
  })
}

const parse = (stored: Value): unknown => {
  if (typeof stored !== "string") throw new Error("bytes are stored there, and JSON is text")
  return stored === "" ? undefined : JSON.parse(stored)
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
  equivalence: (a, b) => a === b
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
