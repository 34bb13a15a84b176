import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Exit, FastCheck as fc, Option, Schema } from "effect"
import { Codec } from "effect-kv"

const at: Codec.At = { key: "k", keyspace: "s" }

const roundTrip = <A>(codec: Codec.Codec<A>, value: A) =>
  Effect.flatMap(codec.encode(value, at), (stored) => codec.decode(stored, at))

const json = Codec.json(Schema.Unknown)

describe("Codec.json", () => {
  it.effect("is canonical: equal values have equal texts", () =>
    Effect.gen(function*() {
      const a = yield* json.encode({ b: 1, a: [1, { d: null, c: "é" }], z: undefined }, at)
      const b = yield* json.encode({ a: [1, { c: "é", d: null }], b: 1 }, at)
      assert.strictEqual(a, "{\"a\":[1,{\"c\":\"é\",\"d\":null}],\"b\":1}")
      assert.strictEqual(a, b)
    }))

  it("gives back every JSON value, and undefined", () =>
    fc.assert(fc.property(fc.option(fc.jsonValue(), { nil: undefined }), (value) => {
      const exit = Effect.runSyncExit(roundTrip(json, value))
      // What has no well-formed text is refused; the rest comes back. JSON has one zero.
      if (Exit.isFailure(exit)) {
        assert.isFalse(JSON.stringify(value).isWellFormed() && !/\\ud[89a-f]/.test(JSON.stringify(value)))
      } else deepStrictEqual(exit.value, value === undefined ? undefined : JSON.parse(JSON.stringify(value)))
    })))

  it.effect("refuses what JSON cannot hold", () =>
    Effect.gen(function*() {
      const refused = [
        NaN,
        Infinity,
        -Infinity,
        1n,
        "\ud800",
        { a: NaN },
        { "\ud800": 1 },
        [1n],
        () => 1,
        Symbol("x"),
        [1, undefined],
        // eslint-disable-next-line no-sparse-arrays
        [1, , 2],
        new Date(0),
        { m: new Map() },
        new Uint8Array(1),
        Option.some(1),
        { f: () => 1 },
        new (class Own {
          readonly a = 1
        })()
      ]
      for (const value of refused) {
        const error = yield* Effect.flip(json.encode(value, at))
        assert.strictEqual(error._tag, "CodecError")
        assert.strictEqual(error.operation, "encode")
        assert.include(error.message, "key \"k\" in keyspace \"s\"")
      }
      const where = yield* Effect.flip(json.encode({ a: [{ b: NaN }] }, at))
      assert.include(where.message, "at .a[0].b")
      const circular: { self?: unknown } = {}
      circular.self = circular
      assert.strictEqual((yield* Effect.flip(json.encode(circular, at)))._tag, "CodecError")
    }))

  it.effect("uses the schema's encoded form", () =>
    Effect.gen(function*() {
      const codec = Codec.json(
        Schema.Struct({ at: Schema.Date, big: Schema.BigInt, some: Schema.Option(Schema.String) })
      )
      const value = { at: new Date(0), big: 2n ** 70n, some: Option.some("x") }
      const stored = yield* codec.encode(value, at)
      assert.strictEqual(
        stored,
        "{\"at\":\"1970-01-01T00:00:00.000Z\",\"big\":\"1180591620717411303424\",\"some\":{\"_tag\":\"Some\",\"value\":\"x\"}}"
      )
      deepStrictEqual(yield* codec.decode(stored, at), value)
      assert.isTrue(codec.equivalence(value, { ...value, at: new Date(0) }))
      assert.isFalse(codec.equivalence(value, { ...value, some: Option.none() }))
    }))

  it.effect("a member named __proto__ is data", () =>
    Effect.gen(function*() {
      const decoded = yield* json.decode("{\"__proto__\":{\"polluted\":true}}", at)
      assert.isUndefined(Reflect.get({}, "polluted"))
      deepStrictEqual(Object.keys(decoded as object), ["__proto__"])
    }))

  it.effect("is done at once for a synchronous schema", () =>
    Effect.gen(function*() {
      assert.isTrue(Exit.isExit(json.encode(1, at)))
      assert.isTrue(Exit.isExit(json.decode("1", at)))
      const unreadable = json.decode("{", at)
      assert(Exit.isExit(unreadable) && Exit.isFailure(unreadable))
      yield* Effect.flip(unreadable)
    }))
})

describe("Codec.text, bytes and raw", () => {
  it("give back every well-formed text and refuse others", () =>
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
      for (
        const round of [
          () => roundTrip<string>(Codec.text, text),
          () => roundTrip<string | Uint8Array>(Codec.raw, text)
        ]
      ) {
        const exit = Effect.runSyncExit<unknown, unknown>(round())
        deepStrictEqual(exit._tag === "Success" ? exit.value : "refused", text.isWellFormed() ? text : "refused")
      }
    })))

  it.effect("do not take one for the other", () =>
    Effect.gen(function*() {
      const bytes = new Uint8Array([1, 2])
      assert.strictEqual((yield* Effect.flip(Codec.text.decode(bytes, at)))._tag, "CodecError")
      assert.strictEqual((yield* Effect.flip(Codec.bytes.decode("text", at)))._tag, "CodecError")
      // @ts-expect-error bytes are not text
      assert.strictEqual((yield* Effect.flip(Codec.text.encode(bytes, at)))._tag, "CodecError")
      // @ts-expect-error text is not bytes
      assert.strictEqual((yield* Effect.flip(Codec.bytes.encode("text", at)))._tag, "CodecError")
      assert.strictEqual(yield* Codec.bytes.decode(bytes, at), bytes)
      assert.isTrue(Codec.raw.equivalence(bytes, new Uint8Array([1, 2])))
      assert.isFalse(Codec.raw.equivalence(bytes, "\u0001\u0002"))
      assert.isTrue(Codec.text.equivalence("a", "a"))
    }))
})
