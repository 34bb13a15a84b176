/** What the tests of KtCompat's containers and procedures share, beside what all tests of KtCompat do. */
import { assert } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, FastCheck as fc, Option, Runtime } from "effect"
import { Codec, KtCompat } from "effect-kv"
import { type Engine, memory, postgres } from "./engines.js"
import { hex, latin1 } from "./ktCompat.js"

export { bytes, hex, invalidKey, ktError, latin1, start, testOn, unhex } from "./ktCompat.js"

export type Text = KtCompat.KtCompat<string, string>

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

/** Items by their ordinals, as procedures are given and answer them. */
export const ordinals = (items: Iterable<string>): Record<string, string> =>
  Object.fromEntries(Array.from(items, (item, i) => [`${i}`, item]))
