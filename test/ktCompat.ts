/** What the tests of KtCompat share. */
import { assert, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Stream, TestClock } from "effect"
import { KtCompat, KtError, KtTransport, type Storage, StorageError } from "effect-kv"
import type { Engine } from "./engines.js"

/** When each test begins, in milliseconds since the epoch: within a second, and long after 1970. */
export const start = 1_600_000_000_250

/** The second in which each test begins. */
export const second = 1_600_000_000

export const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

/** Text as bytes. */
export const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "utf8"))

/** Bytes from their hexadecimal digits, which may have blanks between them. */
export const unhex = (digits: string): Uint8Array => Uint8Array.from(Buffer.from(digits.replaceAll(" ", ""), "hex"))

/** The hexadecimal digits of bytes. */
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** Bytes as text of a code unit a byte. */
export const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1")

/** That an effect fails as a KtError for a reason; the error. */
export const ktError = <A, E, R>(self: Effect.Effect<A, E, R>, reason: KtError.KtErrorReason) =>
  Effect.map(Effect.flip(self), (error) => {
    assert(error instanceof KtError.KtError, `expected a KtError, not ${String(error)}`)
    assert.strictEqual(error.reason, reason, error.message)
    return error
  })

/** That an effect fails because of a key; the error. */
export const invalidKey = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(self), (error) => {
    assert(error instanceof StorageError.InvalidKey, `expected an InvalidKey, not ${String(error)}`)
    return error
  })

/** That an effect fails with an error of this tag; the error. */
export const failsWith = <A, E, R>(self: Effect.Effect<A, E, R>, tag: string) =>
  Effect.map(Effect.flip(self), (error) => {
    assert(typeof error === "object" && error !== null && "_tag" in error, `expected a ${tag}, not ${String(error)}`)
    assert.strictEqual(error._tag, tag, String(error))
    return error
  })

export type Options = NonNullable<Parameters<typeof KtTransport.layer<never>>[0]>

/** Two databases on an engine, `a` and `b`, and what the tests ask for besides. */
export const databases = (engine: Engine, options?: Options) =>
  Layer.provideMerge(KtTransport.layer({ databases: ["a", "b"], ...options }), engine.layer)

/** Tests with databases of their own on an engine, from `start` on. */
export const testOn = (engine: Engine, options?: Options) =>
<A, E>(
  title: string,
  body: (
    kt: KtCompat.KtCompat<string, string>
  ) => Effect.Effect<A, E, KtTransport.KtTransport | Storage.Storage>
) =>
  it.effect(title, () =>
    Effect.zipRight(
      TestClock.setTime(start),
      Effect.provide(Effect.flatMap(KtCompat.make(), body), databases(engine, options))
    ))
