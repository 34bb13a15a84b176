/** What the tests of codecs share. */
import { assert } from "@effect/vitest"
import { Effect, Exit, FastCheck as fc, Redacted } from "effect"
import { Codec } from "effect-kv"

export const at: Codec.At = { key: "k", keyspace: "s" }

/** The value of an effect that must be done already. */
export const done = <A, E>(self: Effect.Effect<A, E>): A => {
  assert.isTrue(Exit.isExit(self), "is an Exit")
  return Effect.runSync(self)
}

/** There and back, each done at once. */
export const again = <A>(codec: Codec.Codec<A>, value: A, place = at): A =>
  done(codec.decode(done(codec.encode(value, place)), place))

/** The error of an effect that must have failed already, as CodecError. */
export const refused = (self: Effect.Effect<unknown, Codec.CodecError>): Codec.CodecError => {
  assert.isTrue(Exit.isExit(self), "is an Exit")
  const error = Effect.runSync(Effect.flip(self))
  assert.instanceOf(error, Codec.CodecError)
  return error
}

/** The same for bytes that may happen to be read: never a throw, never a defect. */
export const readOrRefused = <A>(codec: Codec.Codec<A>, stored: string | Uint8Array): Effect.Effect<boolean> =>
  Effect.suspend(() => codec.decode(stored, at)).pipe(
    Effect.as(true),
    Effect.catchAll((error) => {
      assert.instanceOf(error, Codec.CodecError)
      return Effect.succeed(false)
    })
  )

export const bytesOf = (stored: string | Uint8Array): Uint8Array => {
  assert.strictEqual(Object.getPrototypeOf(stored), Uint8Array.prototype, "is a plain Uint8Array")
  assert(stored instanceof Uint8Array)
  return stored
}

export const flipped = (bytes: Uint8Array, index: number, mask: number): Uint8Array =>
  bytes.map((byte, i) => i === index ? byte ^ mask : byte)

/** Text that is well-formed and nasty: every plane, controls, byte order marks, names of members of objects. */
export const text = fc.oneof(
  { arbitrary: fc.string({ unit: "binary" }).filter((text) => text.isWellFormed()), weight: 5 },
  fc.constantFrom("", "\0", "\ufeff", "constructor", "toJSON", "hasOwnProperty", "length", "1", "-0"),
  fc.constantFrom("é".repeat(40), "\u{1f600}".repeat(70), "\ufeff" + "x".repeat(300))
)

export const bytes = fc.uint8Array({ maxLength: 300 })

export const value = fc.oneof(text, bytes)

export const key = (byte: number) => Redacted.make(new Uint8Array(32).fill(byte))
