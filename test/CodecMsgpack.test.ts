import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Exit, FastCheck as fc, Option, Schema } from "effect"
import { Codec } from "effect-kv"
import { again, at, bytes, bytesOf, done, flipped, readOrRefused, refused, text } from "./codecs.js"

const msgpack = Codec.msgpack(Schema.Unknown)

const kept = text.filter((text) => !text.startsWith("\ufeff") && text !== "__proto__")
const leaf = fc.oneof(
  kept,
  bytes,
  fc.double().map((number) => Object.is(number, -0) ? 0 : number),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ max: 2n ** 64n - 1n, min: -(2n ** 63n) }),
  fc.constantFrom(0n, 1n, -1n, 127n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n),
  fc.constantFrom(2 ** 32, -(2 ** 31) - 1, 2 ** 53, 2 ** 63, NaN, Infinity, -Infinity, 0.1, 5e-324),
  fc.date({ noInvalidDate: true }),
  fc.constantFrom(new Date(0), new Date(-1), new Date(8.64e15), new Date(-8.64e15), new Date(2 ** 34 * 1000 + 1)),
  fc.constantFrom<unknown>(null, undefined, true, false)
)
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf,
    fc.array(tie("tree"), { maxLength: 20 }),
    fc.dictionary(kept, tie("tree"), { maxKeys: 20, noNullPrototype: true })
  )
}))

/** Replaces what `deepStrictEqual` of the runner does not tell apart. */
const exact = (value: unknown): unknown =>
  value instanceof Uint8Array
    ? [Object.getPrototypeOf(value) === Uint8Array.prototype ? "Uint8Array" : "Buffer", ...value]
    : Array.isArray(value)
    ? value.map(exact)
    : value instanceof Date
    ? `Date ${value.getTime()}`
    : typeof value === "object" && value !== null
    ? Object.entries(value).map(([name, member]) => [name, exact(member)]).sort()
    : `${typeof value} ${String(value)}`

describe("Codec.msgpack", () => {
  it("gives back every value that it takes", () =>
    fc.assert(fc.property(tree, (value) => {
      deepStrictEqual(exact(again(msgpack, value)), exact(value))
    })))

  it("gives back large ones", () => {
    const large = {
      array: Array.from({ length: 70_000 }, (_, i) => i),
      bytes: new Uint8Array(70_000).fill(3),
      members: Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`m${i}`, i])),
      text: "é".repeat(70_000)
    }
    deepStrictEqual(again(msgpack, large), large)
  })

  it("is canonical: equal values have equal bytes", () => {
    const a = bytesOf(done(msgpack.encode({ b: 1, a: [1, { d: null, c: "é" }], 2: "x" }, at)))
    deepStrictEqual(a, done(msgpack.encode({ 2: "x", a: [1, { c: "é", d: null }], b: 1 }, at)))
    deepStrictEqual(done(msgpack.encode(-0, at)), done(msgpack.encode(0, at)))
  })

  it("shares no bytes with what is stored, or with other values", () => {
    const first = bytesOf(done(msgpack.encode({ data: new Uint8Array([1, 2, 3]) }, at)))
    const before = first.slice()
    assert.strictEqual(first.buffer.byteLength, first.byteLength)
    for (let i = 0; i < 5000; i++) done(msgpack.encode("x".repeat(i % 200), at))
    deepStrictEqual(first, before)
    const read = done(Codec.msgpack(Schema.Struct({ data: Schema.Uint8ArrayFromSelf })).decode(first, at))
    first.fill(0)
    deepStrictEqual(read, { data: new Uint8Array([1, 2, 3]) })
  })

  it("takes a Buffer for its bytes, and reads from one", () => {
    deepStrictEqual(exact(again(msgpack, Buffer.from("hi"))), ["Uint8Array", 104, 105])
    const stored = Buffer.from(bytesOf(done(msgpack.encode([new Uint8Array([1])], at))))
    deepStrictEqual(exact(done(msgpack.decode(stored, at))), [["Uint8Array", 1]])
    deepStrictEqual(Object.keys(stored), Object.keys(Buffer.alloc(stored.length)))
  })

  it("tells where what it does not take is", () => {
    const cyclic: { self?: unknown } = {}
    cyclic.self = cyclic
    let deep: unknown = 1
    for (let i = 0; i < 501; i++) deep = [deep]
    class Own {
      readonly a = 1
    }
    const cases: ReadonlyArray<readonly [unknown, string]> = [
      [() => 1, "function"],
      [Symbol("x"), "symbol"],
      [new Own(), "an instance of Own"],
      [new Map(), "an instance of Map"],
      [new Set(), "an instance of Set"],
      [new (class Many extends Array<number> {})(), "an instance of Many"],
      [new (class Day extends Date {})(0), "an instance of Day"],
      [Option.some(1), "an instance of"],
      [new Error("x"), "an instance of Error"],
      [/x/, "an instance of RegExp"],
      [new Uint16Array(1), "an instance of Uint16Array"],
      [new Uint8ClampedArray(1), "an instance of Uint8ClampedArray"],
      [new ArrayBuffer(1), "an instance of ArrayBuffer"],
      [new DataView(new ArrayBuffer(1)), "an instance of DataView"],
      [Object.create(Object.create(null)), "an unnamed class"],
      [new Date(NaN), "an invalid Date"],
      // eslint-disable-next-line no-sparse-arrays
      [[1, , 2], "a hole in an array"],
      ["a\ud800", "a lone surrogate"],
      ["\ufeff and text", "byte order mark"],
      [{ "\ud800": 1 }, "a lone surrogate"],
      [{ ["\ufeffname"]: 1 }, "byte order mark"],
      [{ [Symbol("x")]: 1 }, "named by a symbol"],
      [JSON.parse("{\"__proto__\":1}"), "a member named __proto__"],
      [2n ** 64n, "a bigint"],
      [-(2n ** 63n) - 1n, "a bigint"],
      [cyclic, "contains itself"],
      [deep, "more than 500 deep"]
    ]
    for (const [value, words] of cases) {
      assert.include(refused(msgpack.encode(value, at)).message, words)
      const { detail, operation } = refused(msgpack.encode({ a: [{ b: value }] }, at))
      assert.strictEqual(operation, "encode")
      assert.include(detail, words)
      if (value !== cyclic && value !== deep) assert.include(detail, "(at .a[0].b")
    }
    // A failure leaves nothing behind.
    deepStrictEqual(again(msgpack, { a: 1 }), { a: 1 })
  })

  it("fails on a recursive schema's value that contains itself", () => {
    interface Node {
      readonly next?: Node
    }
    const Node: Schema.Schema<Node> = Schema.Struct({
      next: Schema.optionalWith(Schema.suspend(() => Node), { exact: true })
    })
    const value: { next?: Node } = {}
    value.next = value
    refused(Codec.msgpack(Node).encode(value, at))
    refused(Codec.json(Node).encode(value, at))
  })

  it("uses the schema's encoded form", () => {
    const codec = Codec.msgpack(Schema.Struct({
      at: Schema.Date,
      big: Schema.BigInt,
      day: Schema.DateFromSelf,
      small: Schema.BigIntFromSelf
    }))
    const value = { at: new Date(0), big: 2n ** 70n, day: new Date(1), small: 1n }
    deepStrictEqual(again(codec, value), value)
    assert.isTrue(codec.equivalence(value, { ...value, at: new Date(0) }))
    assert.isFalse(codec.equivalence(value, { ...value, small: 2n }))
    assert.isFalse(codec.bindsToKey)
    const misfit = refused(codec.decode(done(msgpack.encode({ at: 1 }, at)), at))
    assert.isDefined(misfit.issue)
  })

  it("decodes damaged and arbitrary bytes, or refuses them", () => {
    const seeds = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.tuple(tree, fc.nat(), fc.integer({ max: 255, min: 1 })).map(([value, index, mask]) => {
        const stored = bytesOf(done(msgpack.encode(value, at)))
        return flipped(stored, index % stored.length, mask)
      })
    )
    fc.assert(
      fc.property(seeds, (stored) => {
        const read = Effect.runSyncExit(msgpack.decode(stored, at))
        if (Exit.isFailure(read)) return void refused(msgpack.decode(stored, at))
        assert.isUndefined(Reflect.get({}, "polluted"))
      }),
      { numRuns: 3000 }
    )
  })

  it("refuses every truncation, and what follows the value", () => {
    const value = { a: "text", b: [1, 300, 70_000, -1, -200, -70_000, 1.5, 5n], c: new Uint8Array(300), d: new Date(1) }
    const stored = bytesOf(done(msgpack.encode({ ...value, e: "x".repeat(300), f: [undefined, null, true] }, at)))
    for (let length = 0; length < stored.length; length++) refused(msgpack.decode(stored.subarray(0, length), at))
    refused(msgpack.decode(new Uint8Array([...stored, 0]), at))
    assert.include(refused(msgpack.decode("text", at)).message, "text is stored there")
  })

  it("refuses what it does not write", () => {
    const refusals: ReadonlyArray<readonly [string, string]> = [
      ["c1", "not known (0xc1)"],
      ["d4ffff", "not known (0xd4)"], // an invalid date
      ["d4720091a16101", "not known (0xd4)"], // a record of msgpackr
      ["d4730090", "not known (0xd4)"], // a Set of msgpackr
      ["d46500939090c0", "not known (0xd4)"], // an Error of msgpackr
      ["d66900000001c0", "not known (0xd6)"], // a reference of msgpackr
      ["c70101ff", "not known (0xc7)"],
      ["d8ff00000000000000000000000000000000", "not known (0xd8)"],
      ["8101c0", "a name that is no text"],
      ["81a95f5f70726f746f5f5f80", "named __proto__"],
      ["81d9095f5f70726f746f5f5f80", "named __proto__"],
      ["a1ff", "not UTF-8"],
      ["a3efbbbf", "byte order mark"],
      ["91".repeat(502) + "c0", "more than 500 deep"],
      // Each claims 30 million items.
      ["dd01c9c380".repeat(50), "too early"],
      ["df01c9c380".repeat(50), "a name that is no text"],
      ["dbffffffff", "too early"],
      ["c6ffffffff", "too early"]
    ]
    for (const [hex, words] of refusals) {
      assert.include(refused(msgpack.decode(new Uint8Array(Buffer.from(hex, "hex")), at)).message, words)
    }
    deepStrictEqual(done(msgpack.decode(new Uint8Array(Buffer.from("81aa785f5f70726f746f5f5f01", "hex")), at)), {
      "x__proto__": 1
    })
    // What others may write, and this codec does not.
    deepStrictEqual(done(msgpack.decode(new Uint8Array(Buffer.from("92ca3f800000dc0001cc01", "hex")), at)), [1, [1]])
  })

  it.effect("never throws on bytes of other codecs", () =>
    Effect.gen(function*() {
      for (const stored of ["", "{}", new Uint8Array(), new Uint8Array([0xe1, 0, 0])]) {
        assert.isFalse(yield* readOrRefused(msgpack, stored))
      }
    }))
})
