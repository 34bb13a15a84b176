/** What the tests of KtCompat's containers and procedures share. */
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, FastCheck as fc, Layer, Option, Runtime, TestClock } from "effect"
import { Codec, KtCompat, KtError, KtTransport, type Storage, StorageError } from "effect-kv"
import { type Engine, memory, postgres } from "./engines.js"

export type Text = KtCompat.KtCompat<string, string>

/** When each test begins, in milliseconds since the epoch: within a second. */
export const start = 1_600_000_000_250

/** Text as bytes. */
export const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "utf8"))

/** Bytes from their hexadecimal digits, between which may be blanks. */
export const unhex = (digits: string): Uint8Array => Uint8Array.from(Buffer.from(digits.replaceAll(" ", ""), "hex"))

/** The hexadecimal digits of bytes. */
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** Bytes as text of a code unit a byte. */
export const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1")

/** The bytes of a record as hexadecimal digits; undefined if there is none. */
export const stored = (kt: Text, key: string, db?: number) =>
  Effect.map(kt.getBytes(key, { db }), (found) => Option.getOrUndefined(Option.map(found, hex)))

/** What a procedure answers, as text of a code unit a byte. */
export const raw = (
  kt: Text,
  name: string,
  data: Readonly<Record<string, string | Uint8Array>> = {},
  options?: KtCompat.At
) =>
  Effect.map(
    kt.rawScript(name, data, options),
    (answer): Record<string, string> => Object.fromEntries(Array.from(answer, ([name, value]) => [name, latin1(value)]))
  )

/** That a procedure answers so. */
export const answers = (
  kt: Text,
  name: string,
  data: Readonly<Record<string, string | Uint8Array>>,
  expected: Readonly<Record<string, string>>,
  options?: KtCompat.At
) =>
  Effect.map(
    raw(kt, name, data, options),
    (answer) => deepStrictEqual(answer, expected, `${name} ${JSON.stringify(data)}`)
  )

/** That an effect fails as a KtError for a reason; the error. */
export const ktError = <A, E, R>(self: Effect.Effect<A, E, R>, reason: KtError.KtErrorReason) =>
  Effect.map(Effect.flip(self), (error) => {
    assert(error instanceof KtError.KtError, `expected a KtError, not ${String(error)}`)
    assert.strictEqual(error.reason, reason, error.message)
    return error
  })

/** That an effect fails because of a key. */
export const invalidKey = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(self), (error) => {
    assert(error instanceof StorageError.InvalidKey, `expected an InvalidKey, not ${String(error)}`)
  })

/** That an effect fails because of a value. */
export const codecError = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(self), (error) => {
    assert(error instanceof Codec.CodecError, `expected a CodecError, not ${String(error)}`)
  })

/** That a value is there, and is this. */
export const some = <A>(found: Option.Option<A>, expected: A) => {
  assert(Option.isSome(found), "there is nothing")
  deepStrictEqual(found.value, expected)
}

/** That there is nothing. */
export const nothing = <A>(found: Option.Option<A>) =>
  assert(Option.isNone(found), `there is ${JSON.stringify(Option.getOrUndefined(found))}`)

/** That a record expires at a time, in milliseconds since the epoch; never if that is undefined. */
export const expiresAt = (kt: Text, key: string, expected: number | undefined, message?: string) =>
  Effect.map(kt.expires(key), (found) => {
    deepStrictEqual(
      KtCompat.Expiration.$match(found, {
        Expires: ({ at }): unknown => at.epochMillis,
        Missing: () => "missing",
        Persistent: () => undefined
      }),
      expected,
      message
    )
  })

/** Two databases on an engine. */
export const databases = (engine: Engine) =>
  Layer.provideMerge(KtTransport.layer({ databases: ["first", "second"] }), engine.layer)

/** Tests with databases of their own on an engine. */
export const testOn =
  (engine: Engine) =>
  <A, E>(title: string, body: (kt: Text) => Effect.Effect<A, E, KtTransport.KtTransport | Storage.Storage>) =>
    it.effect(title, () =>
      Effect.zipRight(
        TestClock.setTime(start),
        Effect.provide(Effect.flatMap(KtCompat.make(), body), databases(engine))
      ))

/** How many times something random is tried: as often as an engine does it in a second or so. */
export const runsOn = (engine: Engine, inMemory: number): number =>
  Math.ceil(engine === memory ? inMemory : engine === postgres ? inMemory / 20 : inMemory / 5)

/** That something holds of whatever is arbitrary. Each run has a number, from which it may take a key of its own. */
export const holds = <A, E, R>(
  runs: number,
  arbitrary: fc.Arbitrary<A>,
  property: (value: A, run: number) => Effect.Effect<unknown, E, R>
): Effect.Effect<void, never, R> =>
  Effect.flatMap(Effect.runtime<R>(), (runtime) => {
    let run = 0
    return Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(arbitrary, async (value) => {
          await Runtime.runPromise(runtime)(property(value, run++))
        }),
        { numRuns: runs }
      )
    )
  })

/** Names that parameters of procedures have. */
export const parameterNames = [
  "db",
  "table_key",
  "key",
  "value",
  "dest",
  "key2",
  "prefix",
  "start",
  "stop",
  "count",
  "exclude",
  "num",
  "index",
  "python",
  "queue",
  "data",
  "score",
  "n",
  "keys"
]

/** One of several texts. */
export const oneOf = <const Texts extends ReadonlyArray<string>>(...texts: Texts): fc.Arbitrary<Texts[number]> =>
  fc.constantFrom(...texts)
