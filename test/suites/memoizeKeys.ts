/** Keys: which calls have one answer. No engine has a part in it. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, FastCheck as fc, Option, Schema, type Scope } from "effect"
import { Codec, Memoize, Storage } from "effect-kv"

const test = <A, E>(title: string, body: Effect.Effect<A, E, Storage.Storage | Scope.Scope>) =>
  it.effect(title, () => Effect.provide(Effect.scoped(body), Storage.layerMemory))

/** The key of a call, by the schema of its one argument. */
const keyBy = <A, I>(
  schema: Schema.Schema<A, I>,
  options: { readonly name?: string; readonly version?: number | string } = {}
) =>
  Effect.map(
    Memoize.make(
      { args: Schema.Tuple(schema), name: "keys", success: Schema.Void, timeToLive: 1, ...options },
      () => Effect.void
    ),
    (memo) => (value: A) => memo.keyOf(value)
  )

/** The key that is made of a custom one. */
const keyOfCustom = Effect.map(
  Memoize.make({
    args: Schema.Tuple(Schema.Unknown),
    key: (value) => value as Memoize.Key,
    name: "custom",
    success: Schema.Void,
    timeToLive: 1
  }, () => Effect.void),
  (memo) => (value: Memoize.Key) => memo.keyOf(value)
)

/** What all differ from each other. */
const different: ReadonlyArray<Memoize.Key> = [
  undefined,
  null,
  true,
  false,
  0,
  -0,
  1,
  -1,
  1.5,
  NaN,
  Infinity,
  -Infinity,
  1e21,
  2 ** 53,
  5e-324,
  0n,
  1n,
  -1n,
  2n ** 53n,
  2n ** 64n,
  2n ** 64n + 1n,
  "",
  " ",
  "0",
  "-0",
  "1",
  "1n",
  "NaN",
  "true",
  "null",
  "undefined",
  "[]",
  "{}",
  "[\"a\"]",
  "a",
  "A",
  "ab",
  "a,b",
  "a\",\"b",
  "\0",
  "a\0",
  "é",
  "e\u0301",
  "\u212B",
  "\u00C5",
  "\uFEFF",
  "\uFEFFa",
  "\u{1F600}",
  [],
  [[]],
  [[], []],
  [undefined],
  [null],
  [undefined, undefined],
  ["a"],
  ["a", "b"],
  ["ab"],
  ["a,b"],
  ["", "ab"],
  ["ab", ""],
  ["a", ["b"]],
  [["a"], "b"],
  [["a", "b"]],
  ["b", "a"],
  [1],
  ["1"],
  [1n],
  [0],
  [-0],
  {},
  { a: undefined },
  { a: null },
  { a: 1 },
  { a: "1" },
  { a: 1n },
  { a: 1, b: undefined },
  { a: 1, b: 2 },
  { b: 1 },
  { "a:1,b": 2 },
  { a: { b: 1 } },
  { a: { b: undefined } },
  { a: [] },
  { a: {} },
  { "": 1 },
  { a: "1,b:2" },
  { 0: "a" },
  { 0: "a", length: 1 },
  { _tag: "Map" },
  { constructor: 1 },
  { toJSON: 1 },
  new Date(0),
  new Date(1),
  new Date(-0.5e3),
  new Date(0).toISOString(),
  new Date(NaN),
  new Uint8Array(),
  new Uint8Array([0]),
  new Uint8Array([1]),
  new Uint8Array([1, 0]),
  new Uint8Array([97]),
  new Set<Memoize.Key>(),
  new Set<Memoize.Key>([1]),
  new Set<Memoize.Key>(["1"]),
  new Set<Memoize.Key>([1, 2]),
  new Set<Memoize.Key>([[1, 2]]),
  new Set<Memoize.Key>([undefined]),
  new Map<Memoize.Key, Memoize.Key>(),
  new Map<Memoize.Key, Memoize.Key>([[1, 2]]),
  new Map<Memoize.Key, Memoize.Key>([[2, 1]]),
  new Map<Memoize.Key, Memoize.Key>([["1", 2]]),
  new Map<Memoize.Key, Memoize.Key>([["a", 1]]),
  new Map<Memoize.Key, Memoize.Key>([[[1, 2], [3]]]),
  new Map<Memoize.Key, Memoize.Key>([[[1], [2, 3]]]),
  new Map<Memoize.Key, Memoize.Key>([[1, 2], [3, 4]]),
  new Map<Memoize.Key, Memoize.Key>([[1, 4], [3, 2]])
]

const bytesOf = (bytes: ReadonlyArray<number>) => new Uint8Array(bytes)

/** Anything that a key is made of. */
const { key: anyKey } = fc.letrec<{ key: Memoize.Key; leaf: Memoize.Key }>((tie) => ({
  key: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    tie("leaf"),
    fc.array(tie("key"), { maxLength: 4 }),
    fc.dictionary(fc.string({ maxLength: 4 }).filter((name) => name !== "__proto__"), tie("key"), { maxKeys: 4 }),
    fc.array(tie("leaf"), { maxLength: 4 }).map((all) => new Set(all)),
    fc.array(fc.tuple(tie("leaf"), tie("key")), { maxLength: 4 }).map((all) => new Map(all))
  ),
  leaf: fc.oneof(
    fc.constantFrom<Memoize.Key>(...different.filter((value) => typeof value !== "object")),
    fc.string({ maxLength: 5, unit: "binary" }).filter((text) => text.isWellFormed()),
    fc.double(),
    fc.integer(),
    fc.bigInt(),
    fc.boolean(),
    fc.date(),
    fc.array(fc.nat(255), { maxLength: 4 }).map(bytesOf)
  )
}))

/** The same, with the members of objects, maps and sets in another order. */
const turned = (value: Memoize.Key): Memoize.Key => {
  if (value instanceof Date) return new Date(value)
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (value instanceof Set) return new Set([...value].toReversed().map(turned))
  if (value instanceof Map) return new Map([...value].toReversed().map(([key, value]) => [turned(key), turned(value)]))
  if (Array.isArray(value)) return value.map(turned)
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).toReversed().map(([name, value]) => [name, turned(value)]))
  }
  return value
}

/** Equal as keys are, by the documentation; written so that it is plainly right. */
const isSame = (a: Memoize.Key, b: Memoize.Key): boolean => {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b)
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  if (a instanceof Date && b instanceof Date) return Object.is(a.getTime(), b.getTime())
  if (a instanceof Uint8Array && b instanceof Uint8Array) return a.length === b.length && a.every((n, i) => n === b[i])
  if (a instanceof Set && b instanceof Set) {
    return a.size === b.size && [...a].every((one) => [...b].some((other) => isSame(one, other)))
  }
  if (a instanceof Map && b instanceof Map) {
    return a.size === b.size && [...a].every((one) => [...b].some((other) => isSame(one, other)))
  }
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, i) => isSame(one, b[i]))
  const [as, bs] = [Object.entries(a), Object.entries(b)]
  return as.length === bs.length &&
    as.every(([name, value]) => bs.some(([other, member]) => name === other && isSame(value, member)))
}

const Point = Schema.Struct({ x: Schema.Number, y: Schema.optional(Schema.Number), z: Schema.String })

export const suite = () =>
  describe("Memoize", () => {
    describe("keyOf", () => {
      test(
        "is 64 hexadecimal digits",
        Effect.gen(function*() {
          const keyOf = yield* keyBy(Schema.String)
          for (const text of ["", "a", "\0", "ä".repeat(10_000)]) assert.match(yield* keyOf(text), /^[0-9a-f]{64}$/)
        })
      )

      test(
        "is the same in every process and run",
        Effect.gen(function*() {
          const Args = Schema.Struct({ at: Schema.Date, id: Schema.Number, tags: Schema.Array(Schema.String) })
          const keyOf = yield* keyBy(Args)
          const custom = yield* keyOfCustom
          const value = { at: new Date(0), id: 1, tags: ["a", "é"] }
          const key = yield* keyOf(value)
          deepStrictEqual(
            [key, yield* custom(new Map<Memoize.Key, Memoize.Key>([["a", [1, -0, 2n, undefined, bytesOf([1])]]]))],
            [
              "40e4eb8bfaf7c807a4f71b1ffd59d200d7b32bdcbd8c315838ed88dda4181ef9",
              "2c348ff7957b7a1d6f56c648197b9969ac4d8f0e3b2c028fbafbfa0578f2f526"
            ]
          )
        })
      )

      test(
        "differs by name, version and arguments",
        Effect.gen(function*() {
          const keys: Array<string> = []
          for (const name of ["a", "b", "a1", "a\0"]) {
            for (const version of [1, 2, "2", "", "1a"]) {
              const keyOf = yield* keyBy(Schema.String, { name, version })
              keys.push(yield* keyOf("x"), yield* keyOf("1x"))
            }
          }
          assert.strictEqual(new Set(keys).size, keys.length)
        })
      )

      test(
        "the number of arguments is part of it",
        Effect.gen(function*() {
          const make = Memoize.make({
            args: Schema.Array(Schema.UndefinedOr(Schema.String)),
            codec: Codec.msgpack,
            name: "keys",
            success: Schema.Void,
            timeToLive: 1
          }, () => Effect.void)
          const { keyOf } = yield* make
          const keys = yield* Effect.all([keyOf(), keyOf("a"), keyOf("a", "b"), keyOf("ab"), keyOf("a", ""), keyOf("")])
          assert.strictEqual(new Set(keys).size, keys.length)
        })
      )

      test(
        "arguments are told apart by what the schema encodes them to",
        Effect.gen(function*() {
          const lower = Schema.transform(Schema.String, Schema.String, {
            decode: (text) => text,
            encode: (text) => text.toLowerCase(),
            strict: true
          })
          const keyOf = yield* keyBy(lower)
          assert.strictEqual(yield* keyOf("A"), yield* keyOf("a"))
          assert.notStrictEqual(yield* keyOf("A"), yield* keyOf("b"))
          const dates = yield* keyBy(Schema.Date)
          assert.strictEqual(yield* dates(new Date(5)), yield* dates(new Date(5)))
          assert.notStrictEqual(yield* dates(new Date(5)), yield* dates(new Date(6)))
        })
      )

      test(
        "-0 and 0 by schema",
        Effect.gen(function*() {
          const numbers = yield* keyBy(Schema.Number)
          assert.notStrictEqual(yield* numbers(0), yield* numbers(-0))
          const texts = yield* keyBy(Schema.NumberFromString)
          assert.strictEqual(yield* texts(0), yield* texts(-0))
        })
      )

      test(
        "numbers that JSON has not, bigints, bytes and undefined, as arguments",
        Effect.gen(function*() {
          const Any = Schema.Union(
            Schema.Number,
            Schema.BigIntFromSelf,
            Schema.Uint8ArrayFromSelf,
            Schema.DateFromSelf,
            Schema.Undefined,
            Schema.Null,
            Schema.String,
            Schema.Struct({ a: Schema.optional(Schema.UndefinedOr(Schema.Number)) })
          )
          const keyOf = yield* keyBy(Any)
          const values = [
            ...[NaN, Infinity, -Infinity, 0, -0, 1, 1n, "1", "NaN", undefined, null, "undefined", "null"],
            ...[new Uint8Array([1]), new Uint8Array([1, 0]), new Date(1), new Date(2), {}, { a: undefined }, { a: 1 }]
          ]
          const keys = yield* Effect.forEach(values, keyOf)
          assert.strictEqual(new Set(keys).size, values.length)
        })
      )

      test(
        "a lone surrogate has a key of its own or none, and the call is answered",
        Effect.gen(function*() {
          const keyOf = yield* keyBy(Schema.String)
          const keys = yield* Effect.forEach(
            ["\uD800", "\uD801", "\uDC00", "\uFFFD", "a\uD800", "\uD800a", "\uD83D\uDE00", "?"],
            (text) => Effect.option(keyOf(text))
          )
          const some = keys.flatMap(Option.toArray)
          assert.isAtLeast(some.length, 3)
          assert.strictEqual(new Set(some).size, some.length)
          let calls = 0
          const memo = yield* Memoize.make({
            args: Schema.Tuple(Schema.String),
            name: "surrogates",
            success: Schema.Number,
            timeToLive: 1000
          }, () => Effect.sync(() => ++calls))
          const [one, two] = [yield* memo("\uD800"), yield* memo("\uD801")]
          assert.notStrictEqual(one, two)
        })
      )

      test(
        "what has no form has no key",
        Effect.gen(function*() {
          const keyOf = yield* keyBy(Schema.Unknown)
          class Foreign {
            readonly a = 1
          }
          for (const value of [() => 1, Symbol("s"), new Foreign(), new WeakMap(), new URL("http://localhost")]) {
            assert.instanceOf(yield* Effect.flip(keyOf(value)), Codec.CodecError)
            assert.instanceOf(yield* Effect.flip(keyOf([{ a: value }])), Codec.CodecError)
          }
          const circle: Record<string, unknown> = {}
          circle.circle = circle
          assert.instanceOf(yield* Effect.flip(keyOf(circle)), Codec.CodecError)
        })
      )

      it.effect.prop(
        "the order of properties is irrelevant",
        { x: fc.double({ noNaN: true }), z: fc.string() },
        ({ x, z }) =>
          Effect.gen(function*() {
            const keyOf = yield* keyBy(Point)
            const any = yield* keyBy(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
            const y = 1
            deepStrictEqual(yield* keyOf({ x, y, z }), yield* keyOf({ z, y, x }))
            deepStrictEqual(yield* any({ x, y, z }), yield* any({ y, z, x }))
          }).pipe(Effect.scoped, Effect.provide(Storage.layerMemory)),
        { fastCheck: { numRuns: 30 } }
      )

      test(
        "a property that is not there, and one that is undefined, as the schema says",
        Effect.gen(function*() {
          const keyOf = yield* keyBy(Point)
          assert.notStrictEqual(yield* keyOf({ x: 1, z: "" }), yield* keyOf({ x: 1, y: 0, z: "" }))
        })
      )
    })

    describe("custom keys", () => {
      test(
        "pairs of different values never share a key",
        Effect.gen(function*() {
          const keyOf = yield* keyOfCustom
          const keys = new Map<string, number>()
          for (const [i, value] of different.entries()) {
            const key = yield* keyOf(value)
            assert.isUndefined(keys.get(key), `${i} and ${keys.get(key)}`)
            keys.set(key, i)
          }
        })
      )

      test(
        "the order of members, of maps and of sets does not matter, that of arrays does",
        Effect.gen(function*() {
          const keyOf = yield* keyOfCustom
          const equal: ReadonlyArray<readonly [Memoize.Key, Memoize.Key]> = [
            [{ a: 1, b: 2 }, { b: 2, a: 1 }],
            [{ 1: "a", x: { d: 1, c: 2 } }, { x: { c: 2, d: 1 }, 1: "a" }],
            [new Set([1, 2, 3]), new Set([3, 1, 2])],
            [new Map([["a", 1], ["b", 2]]), new Map([["b", 2], ["a", 1]])],
            [new Set([{ a: 1, b: 2 }, [3]]), new Set([[3], { b: 2, a: 1 }])],
            [new Map([[{ a: 1, b: 2 }, 1], [{ c: 3 }, 2]]), new Map([[{ c: 3 }, 2], [{ b: 2, a: 1 }, 1]])]
          ]
          for (const [a, b] of equal) assert.strictEqual(yield* keyOf(a), yield* keyOf(b))
          assert.notStrictEqual(yield* keyOf([1, 2]), yield* keyOf([2, 1]))
        })
      )

      test(
        "what is equal in another form is equal",
        Effect.gen(function*() {
          const keyOf = yield* keyOfCustom
          assert.strictEqual(yield* keyOf(Buffer.from([1, 2])), yield* keyOf(new Uint8Array([1, 2])))
          assert.strictEqual(
            yield* keyOf(new Uint8Array([0, 1, 2, 3]).subarray(1, 3)),
            yield* keyOf(new Uint8Array([1, 2]))
          )
          const bare: { [member: string]: Memoize.Key } = Object.create(null)
          bare["a"] = 1
          assert.strictEqual(yield* keyOf(bare), yield* keyOf({ a: 1 }))
        })
      )

      test(
        "is not confused with the arguments of another call",
        Effect.gen(function*() {
          const args = yield* keyBy(Schema.String)
          const custom = yield* Memoize.make({
            args: Schema.Tuple(Schema.String),
            key: (text) => text,
            name: "other keys",
            success: Schema.Void,
            timeToLive: 1
          }, () => Effect.void)
          assert.notStrictEqual(yield* args("a"), yield* custom.keyOf("a"))
        })
      )

      it.effect.prop(
        "any two share a key if and only if they are equal",
        { a: anyKey, b: anyKey },
        ({ a, b }) =>
          Effect.gen(function*() {
            const keyOf = yield* keyOfCustom
            const [one, other] = [yield* keyOf(a), yield* keyOf(b)]
            assert.strictEqual(one === other, isSame(a, b))
            assert.strictEqual(yield* keyOf(turned(a)), one)
            assert.notStrictEqual(yield* keyOf([a]), one)
            assert.notStrictEqual(yield* keyOf([a, b]), yield* keyOf([[a, b]]))
            assert.notStrictEqual(yield* keyOf({ a }), yield* keyOf(new Map([["a", a]])))
          }).pipe(Effect.scoped, Effect.provide(Storage.layerMemory)),
        { fastCheck: { numRuns: 150 } }
      )
    })
  })
