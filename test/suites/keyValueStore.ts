/** What a KeyValueStore promises, and so a TtlStore, on any engine. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Context, Effect, Equal, Exit, Fiber, Layer, Option, ParseResult, Schema, Stream } from "effect"
import { Codec, KeyValueStore, Storage, StorageError, TtlStore } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"

const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

const User = Schema.Struct({ age: Schema.Number, born: Schema.Date, name: Schema.String })
const ada = { age: 36, born: new Date("1815-12-10"), name: "Ada" }
const alan = { age: 41, born: new Date("1912-06-23"), name: "Alan" }

class Users extends KeyValueStore.Tag<Users>()("test/Users", { keyspace: "users", value: User }) {}

const Id = Schema.NumberFromString.pipe(Schema.int(), Schema.brand("Id"))
const id = Schema.decodeSync(Id)
class ById extends KeyValueStore.Tag<ById>()("test/ById", { key: Id, keyspace: "by id", value: Schema.String }) {}

class Integers extends KeyValueStore.Tag<Integers>()("test/Integers", { keyspace: "integers", value: Schema.BigInt }) {}
class Floats extends KeyValueStore.Tag<Floats>()("test/Floats", { keyspace: "floats", value: Schema.Number }) {}
class Texts extends KeyValueStore.Tag<Texts>()("test/Texts", { keyspace: "texts", value: Codec.text }) {}
class TextsAgain extends KeyValueStore.Tag<TextsAgain>()("test/TextsAgain", {
  keyspace: "texts",
  value: Codec.text
}) {}
class Blobs extends KeyValueStore.Tag<Blobs>()("test/Blobs", { keyspace: "blobs", value: Codec.bytes }) {}

/** A service that a schema needs, to see that it is taken once, when the store is built. */
class Salt extends Context.Tag("test/Salt")<Salt, { readonly salt: string }>() {}
const Salted = Schema.transformOrFail(Schema.String, Schema.String, {
  decode: (text) => Effect.map(Salt, ({ salt }) => text.slice(salt.length)),
  encode: (text) => Effect.map(Salt, ({ salt }) => salt + text),
  strict: true
})

/** A codec that cannot be run at once. */
const Slow = Schema.transformOrFail(Schema.Number, Schema.Number, {
  decode: (n, _, ast) =>
    Effect.zipRight(
      Effect.yieldNow(),
      n >= 0 ? ParseResult.succeed(n) : ParseResult.fail(new ParseResult.Type(ast, n, "negative"))
    ),
  encode: (n) => Effect.as(Effect.yieldNow(), n),
  strict: true
})
class SlowNumbers extends KeyValueStore.Tag<SlowNumbers>()("test/Slow", { keyspace: "slow", value: Slow }) {}

const stores = Layer.mergeAll(
  Users.layer,
  ById.layer,
  Integers.layer,
  Floats.layer,
  Texts.layer,
  Blobs.layer,
  SlowNumbers.layer,
  KeyValueStore.layer()
)

export interface Kind {
  readonly name: string
  readonly make: typeof KeyValueStore.make
  readonly stores: typeof stores
}

export const keyValueStore: Kind = { make: KeyValueStore.make, name: "KeyValueStore", stores }

/** Under the same tags: whoever asks for a KeyValueStore may be given a TtlStore. */
export const ttlStore: Kind = {
  make: TtlStore.make,
  name: "TtlStore as a KeyValueStore",
  stores: Layer.mergeAll(
    Layer.effect(Users, TtlStore.make({ keyspace: "users", value: User })),
    Layer.effect(ById, TtlStore.make({ key: Id, keyspace: "by id", value: Schema.String })),
    Layer.effect(Integers, TtlStore.make({ keyspace: "integers", value: Schema.BigInt })),
    Layer.effect(Floats, TtlStore.make({ keyspace: "floats", value: Schema.Number })),
    Layer.effect(Texts, TtlStore.make({ keyspace: "texts", value: Codec.text })),
    Layer.effect(Blobs, TtlStore.make({ keyspace: "blobs", value: Codec.bytes })),
    Layer.effect(SlowNumbers, TtlStore.make({ keyspace: "slow", value: Slow })),
    Layer.project(
      TtlStore.layer(),
      TtlStore.TtlStore,
      KeyValueStore.KeyValueStore,
      (plain): KeyValueStore.Plain => plain
    )
  )
}

export const suite = (engine: Engine, kind: Kind) =>
  describeOn(engine, kind.name, () => {
    const test = <A, E>(
      title: string,
      body: Effect.Effect<A, E, Layer.Layer.Success<typeof stores> | Storage.Storage>
    ) => it.effect(title, () => Effect.provide(body, Layer.provideMerge(kind.stores, engine.layer)))

    describe("values", () => {
      test(
        "get, getOrFail, has, set, remove",
        Effect.gen(function*() {
          const users = yield* Users
          deepStrictEqual(yield* users.get("ada"), Option.none())
          assert.isFalse(yield* users.has("ada"))
          const missing = yield* Effect.flip(users.getOrFail("ada"))
          assert(missing instanceof StorageError.KeyNotFound)
          assert.strictEqual(missing.message, "there is no key \"ada\" in keyspace \"users\"")
          yield* users.set("ada", ada)
          deepStrictEqual(yield* users.get("ada"), Option.some(ada))
          deepStrictEqual(yield* users.getOrFail("ada"), ada)
          assert.isTrue(yield* users.has("ada"))
          yield* users.set("ada", alan)
          deepStrictEqual(yield* users.getOrFail("ada"), alan)
          assert.isTrue(yield* users.remove("ada"))
          assert.isFalse(yield* users.remove("ada"))
        })
      )

      test(
        "what stands for nothing elsewhere is a value here",
        Effect.gen(function*() {
          const plain = yield* KeyValueStore.KeyValueStore
          const odd = plain.forSchema(Schema.Union(
            Schema.Null,
            Schema.Undefined,
            Schema.Boolean,
            Schema.Number,
            Schema.String,
            Schema.Array(Schema.String)
          ))
          const values = [null, undefined, false, 0, -0, "", "null", "undefined", []]
          for (const value of values) {
            yield* odd.set("k", value)
            assert.isTrue(yield* odd.has("k"))
            const got = yield* odd.get("k")
            // JSON has one zero.
            deepStrictEqual(got, Option.some(Object.is(value, -0) ? 0 : value))
          }
        })
      )

      test(
        "getMany is aligned, getManyMap has what is there",
        Effect.gen(function*() {
          const users = yield* Users
          yield* users.setMany([["ada", ada], ["alan", alan]])
          deepStrictEqual(yield* users.getMany(["alan", "x", "ada", "alan"]), [
            Option.some(alan),
            Option.none(),
            Option.some(ada),
            Option.some(alan)
          ])
          deepStrictEqual(yield* users.getMany(new Set(["ada"])), [Option.some(ada)])
          deepStrictEqual(yield* users.getMany([]), [])
          deepStrictEqual(
            yield* users.getManyMap(["alan", "x", "ada"]),
            new Map([["alan", alan], ["ada", ada]])
          )
        })
      )

      test(
        "insert, replace and getOrInsert look before they write",
        Effect.gen(function*() {
          const users = yield* Users
          assert.isFalse(yield* users.replace("k", ada))
          assert.isFalse(yield* users.has("k"))
          assert.isTrue(yield* users.insert("k", ada))
          assert.isFalse(yield* users.insert("k", alan))
          deepStrictEqual(yield* users.getOrInsert("k", () => alan), ada)
          assert.isTrue(yield* users.replace("k", alan))
          deepStrictEqual(yield* users.getOrInsert("new", () => ada), ada)
          deepStrictEqual(yield* users.toMap(), new Map([["k", alan], ["new", ada]]))
        })
      )

      test(
        "of many concurrent inserts one wins, and getOrInsert gives all the same",
        Effect.gen(function*() {
          const texts = yield* Texts
          const won = yield* Effect.forEach(Array.from({ length: 50 }, (_, i) => i), (i) => texts.insert("k", `${i}`), {
            concurrency: "unbounded"
          })
          assert.strictEqual(won.filter(Boolean).length, 1)
          const got = yield* Effect.forEach(
            Array.from({ length: 50 }, (_, i) => i),
            (i) => texts.getOrInsert("l", () => `${i}`),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(new Set(got).size, 1)
        })
      )

      test(
        "update, modify, swap and take",
        Effect.gen(function*() {
          const floats = yield* Floats
          deepStrictEqual(yield* floats.update("n", (n) => n + 1), Option.none())
          assert.isFalse(yield* floats.has("n"))
          deepStrictEqual(yield* floats.swap("n", 1), Option.none())
          deepStrictEqual(yield* floats.swap("n", 2), Option.some(1))
          deepStrictEqual(yield* floats.update("n", (n) => n + 1), Option.some(3))
          assert.strictEqual(yield* floats.modify("n", (n) => [`was ${Option.getOrNull(n)}`, Option.some(9)]), "was 3")
          assert.strictEqual(yield* floats.modify("n", (n) => [Option.getOrNull(n), Option.none()]), 9)
          assert.isFalse(yield* floats.has("n"))
          assert.strictEqual(yield* floats.modify("n", (n) => [Option.isNone(n), Option.none()]), true)
          yield* floats.set("n", 5)
          const taken = yield* Effect.forEach(Array.from({ length: 20 }), () => floats.take("n"), {
            concurrency: "unbounded"
          })
          deepStrictEqual(taken.filter(Option.isSome), [Option.some(5)])
          const exit = yield* Effect.exit(floats.modify("n", () => {
            throw new Error("boom")
          }))
          assert(Exit.isFailure(exit) && exit.cause._tag === "Die")
        })
      )

      test(
        "compareAndSet compares values by their schema, and None is absent on either side",
        Effect.gen(function*() {
          const users = yield* Users
          assert.isFalse(yield* users.compareAndSet("k", Option.some(ada), Option.some(alan)))
          assert.isTrue(yield* users.compareAndSet("k", Option.none(), Option.some(ada)))
          assert.isFalse(yield* users.compareAndSet("k", Option.none(), Option.some(alan)))
          const again = { born: new Date(ada.born), name: "Ada", age: 36 }
          assert.isTrue(yield* users.compareAndSet("k", Option.some(again), Option.some(alan)))
          assert.isFalse(yield* users.compareAndSet("k", Option.some(ada), Option.none()))
          assert.isTrue(yield* users.compareAndSet("k", Option.some(alan), Option.none()))
          assert.isFalse(yield* users.has("k"))
          assert.isTrue(yield* users.compareAndSet("k", Option.none(), Option.none()))
          const plain = yield* KeyValueStore.KeyValueStore
          yield* plain.set("b", new Uint8Array([1]))
          assert.isFalse(yield* plain.compareAndSet("b", Option.some("\u0001"), Option.some("x")))
          assert.isTrue(yield* plain.compareAndSet("b", Option.some(new Uint8Array([1])), Option.some("x")))
          const winners = yield* Effect.forEach(
            Array.from({ length: 30 }, (_, i) => `${i}`),
            (next) => plain.compareAndSet("b", Option.some("x"), Option.some(next)),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(winners.filter(Boolean).length, 1)
        })
      )

      test(
        "removeMany, setMany, clear, size and isEmpty",
        Effect.gen(function*() {
          const texts = yield* Texts
          assert.isTrue(yield* texts.isEmpty)
          yield* texts.setMany([["a", "1"], ["b", "2"], ["c", "3"], ["a", "4"]])
          assert.isFalse(yield* texts.isEmpty)
          assert.strictEqual(yield* texts.size(), 3)
          assert.strictEqual(yield* texts.size({ from: "b" }), 2)
          assert.strictEqual(yield* texts.getOrFail("a"), "4")
          assert.strictEqual(yield* texts.removeMany(["a", "x", "a"]), 1)
          assert.strictEqual(yield* texts.clear({ through: "b" }), 1)
          assert.strictEqual(yield* texts.clear(), 1)
          assert.isTrue(yield* texts.isEmpty)
        })
      )
    })

    describe("rename", () => {
      test(
        "has three outcomes, and moves the expiry too",
        Effect.gen(function*() {
          const users = yield* Users
          assert.strictEqual(yield* users.rename("a", "b"), "SourceMissing")
          yield* users.setMany([["a", ada], ["c", alan]])
          assert.strictEqual(yield* users.rename("a", "c"), "TargetExists")
          deepStrictEqual(yield* users.toMap(), new Map([["a", ada], ["c", alan]]))
          assert.strictEqual(yield* users.rename("a", "b"), "Renamed")
          deepStrictEqual(yield* users.toMap(), new Map([["b", ada], ["c", alan]]))
          assert.strictEqual(yield* users.rename("b", "c", { overwrite: true }), "Renamed")
          deepStrictEqual(yield* users.toMap(), new Map([["c", ada]]))
          assert.strictEqual(yield* users.rename("c", "c"), "Renamed")
          assert.strictEqual(yield* users.rename("x", "x"), "SourceMissing")
          assert.strictEqual((yield* Effect.flip(users.rename("c", "\0")))._tag, "InvalidKey")

          const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("users"))
          yield* keyspace.modify("c", (entry) => [
            undefined,
            Option.isSome(entry) ? Storage.put(entry.value.value, 10_000) : Storage.keep
          ])
          yield* users.rename("c", "d")
          assert.strictEqual(Option.getOrUndefined(yield* keyspace.get("d"))?.expiresAt, 10_000)
          // An expired target is no target.
          yield* keyspace.set("old", "{}", -1)
          assert.strictEqual(yield* users.rename("d", "old"), "Renamed")
        })
      )
    })

    describe("counters", () => {
      const max = 2n ** 63n - 1n

      test(
        "of 64-bit integers",
        Effect.gen(function*() {
          const integers = yield* Integers
          assert.strictEqual(yield* integers.increment("n", 5n), 5n)
          assert.strictEqual(yield* integers.increment("n", -7n), -2n)
          assert.strictEqual(yield* integers.getOrFail("n"), -2n)
          assert.strictEqual(yield* integers.increment("max", max), max)
          const over = yield* Effect.flip(integers.increment("max", 1n))
          assert(over._tag === "CounterError" && over.reason === "Overflow")
          assert.include(over.message, "64 bits")
          assert.strictEqual(yield* integers.getOrFail("max"), max)
          assert.strictEqual(yield* integers.increment("min", -max - 1n), -max - 1n)
          assert.strictEqual((yield* Effect.flip(integers.increment("min", -1n)))._tag, "CounterError")
          yield* Effect.forEach(Array.from({ length: 200 }), () => integers.increment("sum", 1n), {
            concurrency: "unbounded"
          })
          assert.strictEqual(yield* integers.getOrFail("sum"), 200n)
        })
      )

      test(
        "of numbers, exact while they are whole",
        Effect.gen(function*() {
          const floats = yield* Floats
          assert.strictEqual(yield* floats.increment("n", 0.5), 0.5)
          assert.strictEqual(yield* floats.increment("n", 1), 1.5)
          yield* floats.set("whole", Number.MAX_SAFE_INTEGER)
          const inexact = yield* Effect.flip(floats.increment("whole", 1))
          assert(inexact._tag === "CounterError" && inexact.reason === "Overflow")
          yield* floats.set("huge", 1.7e308)
          const infinite = yield* Effect.flip(floats.increment("huge", 1.7e308))
          assert(infinite._tag === "CounterError" && infinite.reason === "NotFinite")
          assert.include(infinite.message, "finite")
          assert.strictEqual((yield* Effect.flip(floats.increment("n", NaN)))._tag, "CounterError")
          assert.strictEqual(yield* floats.getOrFail("n"), 1.5)
          assert.strictEqual(yield* floats.increment("huge", 1.5), 1.7e308)
        })
      )

      test(
        "what is no number is not turned into one",
        Effect.gen(function*() {
          const plain = yield* KeyValueStore.KeyValueStore
          const numbers = plain.forSchema(Schema.Number)
          yield* plain.set("n", "\"hello\"")
          assert.strictEqual((yield* Effect.flip(numbers.increment("n", 1)))._tag, "CodecError")
          assert.strictEqual(yield* plain.getOrFail("n"), "\"hello\"")
        })
      )
    })

    test(
      "a counter does not mix bigint and number",
      Effect.gen(function*() {
        const plain = yield* KeyValueStore.KeyValueStore
        const either = plain.forSchema(Schema.Union(Schema.Number, Schema.BigInt))
        yield* either.set("k", 2n ** 60n + 1n)
        const mixed = yield* Effect.flip(either.increment("k", 2))
        assert(mixed._tag === "CounterError" && mixed.reason === "Mixed")
        assert.strictEqual(yield* either.getOrFail("k"), 2n ** 60n + 1n)
      })
    )

    test(
      "append extends text and bytes",
      Effect.gen(function*() {
        const [texts, blobs, plain] = yield* Effect.all([Texts, Blobs, KeyValueStore.KeyValueStore])
        yield* texts.append("t", "a")
        yield* texts.append("t", "b")
        assert.strictEqual(yield* texts.getOrFail("t"), "ab")
        yield* blobs.append("b", new Uint8Array([1]))
        yield* blobs.append("b", new Uint8Array([2, 3]))
        deepStrictEqual(new Uint8Array(yield* blobs.getOrFail("b")), new Uint8Array([1, 2, 3]))
        yield* plain.set("p", "é")
        yield* plain.append("p", new Uint8Array([0x21]))
        deepStrictEqual(yield* plain.getOrFail("p"), new Uint8Array(Buffer.from("é!")))
        yield* Effect.forEach(Array.from({ length: 100 }), () => texts.append("many", "x"), {
          concurrency: "unbounded"
        })
        assert.strictEqual(yield* texts.getOrFail("many"), "x".repeat(100))
      })
    )

    describe("keys, values, entries", () => {
      test(
        "are streams in the order of the stored keys",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.setMany([["b", "2"], ["a", "1"], ["c", "3"], ["\u{1F600}", "4"]])
          deepStrictEqual(yield* collect(texts.keys()), ["a", "b", "c", "\u{1F600}"])
          deepStrictEqual(yield* collect(texts.values({ from: "b", reverse: true })), ["4", "3", "2"])
          deepStrictEqual(yield* collect(texts.entries({ after: "a", limit: 1 })), [["b", "2"]])
          deepStrictEqual(yield* texts.toMap({ prefix: "c" }), new Map([["c", "3"]]))
          deepStrictEqual(yield* collect(texts.keys({ prefix: "zzz" })), [])
        })
      )

      test(
        "typed keys are encoded and decoded, and ranges follow the encoded form",
        Effect.gen(function*() {
          const byId = yield* ById
          yield* byId.setMany([[id("9"), "nine"], [id("10"), "ten"], [id("100"), "hundred"]])
          deepStrictEqual(yield* collect(byId.keys()), [id("10"), id("100"), id("9")])
          deepStrictEqual(yield* collect(byId.values({ from: id("100") })), ["hundred", "nine"])
          deepStrictEqual(yield* byId.get(id("10")), Option.some("ten"))
          deepStrictEqual(yield* byId.getManyMap([id("9"), id("8")]), new Map([[id("9"), "nine"]]))
          // @ts-expect-error a string is no Id
          const bad = yield* Effect.flip(byId.get("x"))
          assert.strictEqual(bad._tag, "InvalidKey")
          assert.include(bad.message, "\"x\" cannot be a key in keyspace \"by id\"")
          const plain = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("by id"))
          yield* plain.set("not a number", "\"v\"")
          const error = yield* Effect.flip(collect(byId.keys()))
          assert(error._tag === "CodecError" && error.key === "not a number")
        })
      )
    })

    describe("prefix views", () => {
      test(
        "are complete: nothing outside is seen or touched",
        Effect.gen(function*() {
          const texts = yield* Texts
          const outside = [["", "0"], ["a", "1"], ["a/", "2"], ["a0", "3"], ["b", "4"]] as const
          yield* texts.setMany(outside)
          const view = texts.prefix("a/")
          deepStrictEqual(yield* view.toMap(), new Map([["", "2"]]))
          yield* view.set("x", "9")
          yield* view.setMany([["y", "8"], ["z", "7"]])
          assert.strictEqual(yield* texts.getOrFail("a/x"), "9")
          assert.strictEqual(yield* view.size(), 4)
          deepStrictEqual(yield* collect(view.keys()), ["", "x", "y", "z"])
          deepStrictEqual(yield* collect(view.keys({ from: "x", to: "z" })), ["x", "y"])
          deepStrictEqual(yield* collect(view.keys({ after: "y", reverse: true })), ["x", ""])
          deepStrictEqual(yield* collect(view.keys({ prefix: "x" })), ["x"])
          deepStrictEqual(yield* view.getMany(["x", "b"]), [Option.some("9"), Option.none()])
          assert.isFalse(yield* view.has("b"))
          assert.isFalse(yield* view.remove("b"))
          assert.strictEqual(yield* view.rename("x", "w"), "Renamed")
          deepStrictEqual(yield* view.take("w"), Option.some("9"))
          yield* view.append("y", "!")
          const nested = view.prefix("n/")
          assert.isTrue(yield* nested.isEmpty)
          yield* nested.set("k", "v")
          assert.strictEqual(yield* texts.getOrFail("a/n/k"), "v")
          assert.strictEqual(yield* view.clear({ prefix: "y" }), 1)
          assert.strictEqual(yield* view.clear(), 3)
          assert.isTrue(yield* view.isEmpty)
          deepStrictEqual(yield* collect(texts.keys()), ["", "a", "a0", "b"])
          const long = texts.prefix("p".repeat(2000))
          yield* long.set("k".repeat(48), "v")
          assert.strictEqual((yield* Effect.flip(long.set("k".repeat(49), "v")))._tag, "InvalidKey")
        })
      )

      test(
        "of typed keys have a schema for what is left of them",
        Effect.gen(function*() {
          const byId = yield* ById
          yield* byId.setMany([[id("10"), "ten"], [id("11"), "eleven"], [id("2"), "two"]])
          const tens = byId.prefix("1", { key: Schema.NumberFromString })
          deepStrictEqual(yield* tens.toMap(), new Map([[0, "ten"], [1, "eleven"]]))
          yield* tens.set(2, "twelve")
          assert.strictEqual(yield* byId.getOrFail(id("12")), "twelve")
          assert.strictEqual(yield* tens.clear(), 3)
          deepStrictEqual(yield* byId.toMap(), new Map([[id("2"), "two"]]))
          const plain = yield* KeyValueStore.KeyValueStore
          const numbered = plain.prefix("a/").prefix("b/", { key: Schema.NumberFromString })
          yield* numbered.set(7, "seven")
          assert.strictEqual(yield* plain.getOrFail("a/b/7"), "seven")
        })
      )

      test(
        "of names that are prefixes of each other stay apart",
        Effect.gen(function*() {
          const plain = yield* KeyValueStore.KeyValueStore
          const names = ["n", "n:", "n:x", "n:x:", "nn", "\uFFFF", "\u{10FFFF}", "%", "_"]
          for (const name of names) yield* plain.prefix(`${name}/`).set("k", name)
          for (const name of names) {
            deepStrictEqual(yield* plain.prefix(`${name}/`).toMap(), new Map([["k", name]]))
          }
          assert.strictEqual(yield* plain.prefix("n:/").clear(), 1)
          assert.strictEqual(yield* plain.size(), names.length - 1)
        })
      )
    })

    describe("the plain store", () => {
      test(
        "keeps text and bytes, and gives typed views of the same entries",
        Effect.gen(function*() {
          const plain = yield* KeyValueStore.KeyValueStore
          yield* plain.set("t", "text")
          yield* plain.set("b", new Uint8Array([1]))
          deepStrictEqual(yield* plain.getMany(["t", "b"]), [
            Option.some("text"),
            Option.some(new Uint8Array([1]))
          ])
          const users = plain.prefix("user/").forSchema(User)
          yield* users.set("ada", ada)
          assert.strictEqual(
            yield* plain.getOrFail("user/ada"),
            "{\"age\":36,\"born\":\"1815-12-10T00:00:00.000Z\",\"name\":\"Ada\"}"
          )
          assert.strictEqual((yield* Effect.flip(users.set("x", { ...ada, age: NaN })))._tag, "CodecError")
          // @ts-expect-error a number is not a value
          assert.strictEqual((yield* Effect.flip(plain.set("k", 1)))._tag, "CodecError")
        })
      )
    })

    describe("values that do not fit", () => {
      test(
        "fail with keyspace, key and issue, and nothing is lost",
        Effect.gen(function*() {
          const users = yield* Users
          yield* users.set("ada", ada)
          // @ts-expect-error that is no user
          const bad = yield* Effect.flip(users.set("ada", { name: 1 }))
          assert(bad._tag === "CodecError" && bad.operation === "encode" && bad.issue !== undefined)
          const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("users"))
          yield* keyspace.set("old", "{\"name\":\"Old\"}")
          const attempts: ReadonlyArray<Effect.Effect<unknown, KeyValueStore.Failure | StorageError.KeyNotFound>> = [
            users.get("old"),
            users.getOrFail("old"),
            users.getMany(["ada", "old"]),
            users.update("old", (user) => user),
            users.modify("old", () => [undefined, Option.none()]),
            users.compareAndSet("old", Option.none(), Option.none()),
            users.swap("old", ada),
            users.take("old"),
            users.getOrInsert("old", () => ada),
            users.toMap(),
            collect(users.values())
          ]
          for (const attempt of attempts) {
            const error = yield* Effect.flip(attempt)
            assert(error._tag === "CodecError")
            assert.strictEqual(error.operation, "decode")
            assert.strictEqual(error.keyspace, "users")
            assert.strictEqual(error.key, "old")
            assert.include(error.message, "age")
          }
          assert.isTrue(yield* users.has("old"))
          assert.isFalse(yield* users.insert("old", ada))
          deepStrictEqual(yield* collect(users.keys()), ["ada", "old"])
          yield* keyspace.set("old", "not JSON")
          assert.include((yield* Effect.flip(users.get("old"))).message, "not JSON")
          yield* keyspace.set("old", new Uint8Array())
          assert.include((yield* Effect.flip(users.get("old"))).message, "bytes")
          assert.isTrue(yield* users.remove("old"))
        })
      )

      test(
        "are a miss where the store says so",
        Effect.gen(function*() {
          const users = yield* kind.make({ keyspace: "users", onDecodeFailure: "miss", value: User })
          const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("users"))
          yield* users.set("ada", ada)
          yield* keyspace.set("old", "not JSON")
          deepStrictEqual(yield* users.get("old"), Option.none())
          deepStrictEqual(yield* users.getMany(["old", "ada"]), [Option.none(), Option.some(ada)])
          deepStrictEqual(yield* users.toMap(), new Map([["ada", ada]]))
          deepStrictEqual(yield* collect(users.values()), [ada])
          deepStrictEqual(yield* users.update("old", (user) => user), Option.none())
          // What cannot be read is not taken away by what says that there was nothing.
          deepStrictEqual(yield* users.take("old"), Option.none())
          assert.isTrue(yield* users.compareAndSet("old", Option.none(), Option.none()))
          assert.isTrue(yield* users.has("old"))
          deepStrictEqual(yield* users.getOrInsert("old", () => alan), alan)
          deepStrictEqual(yield* users.get("old"), Option.some(alan))
          // What does not fit when it is written is still an error.
          // @ts-expect-error that is no user
          assert.strictEqual((yield* Effect.flip(users.set("x", {})))._tag, "CodecError")
        })
      )
    })

    describe("schemas that need something", () => {
      test(
        "what they need is taken once, so methods need nothing",
        Effect.gen(function*() {
          const store = yield* Effect.provideService(
            kind.make({ key: Salted, keyspace: "salted", value: Salted }),
            Salt,
            { salt: "s:" }
          )
          yield* store.set("k", "v")
          deepStrictEqual(yield* store.get("k"), Option.some("v"))
          deepStrictEqual(yield* store.getMany(["k", "l"]), [Option.some("v"), Option.none()])
          yield* store.setMany([["l", "w"]])
          deepStrictEqual(yield* store.toMap(), new Map([["k", "v"], ["l", "w"]]))
          deepStrictEqual(yield* store.update("k", (v) => `${v}!`), Option.some("v!"))
          const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("salted"))
          assert.strictEqual(Option.getOrUndefined(yield* keyspace.get("s:k"))?.value, "\"s:v!\"")
        })
      )
    })

    describe("schemas and codecs that throw", () => {
      const Throwing = Schema.transform(Schema.String, Schema.String, {
        decode: (text) => {
          if (text === "no") throw new Error("boom")
          return text
        },
        encode: (text) => {
          if (text === "bad") throw new Error("boom")
          return text
        },
        strict: true
      })

      test(
        "fail, and nothing is lost",
        Effect.gen(function*() {
          const store = yield* kind.make({ key: Throwing, keyspace: "throwing", value: Throwing })
          const encoding = yield* Effect.flip(store.set("k", "bad"))
          assert(encoding._tag === "CodecError" && encoding.message.includes("boom"))
          assert.strictEqual((yield* Effect.flip(store.get("bad")))._tag, "InvalidKey")
          yield* store.set("k", "no")
          assert.strictEqual((yield* Effect.flip(store.get("k")))._tag, "CodecError")
          assert.strictEqual((yield* Effect.flip(store.update("k", (v) => v)))._tag, "CodecError")
          assert.isTrue(yield* store.has("k"))
          const deep: { a?: unknown } = {}
          let at = deep
          for (let i = 0; i < 50_000; i++) at = at.a = {}
          const plain = yield* KeyValueStore.KeyValueStore
          assert.strictEqual((yield* Effect.flip(plain.forSchema(Schema.Unknown).set("k", deep)))._tag, "CodecError")
        })
      )
    })

    describe("codecs that are not synchronous", () => {
      test(
        "use what they need outside of the transaction in which their store was opened",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const log = yield* storage.keyspace("log")
          const Logged = Schema.transformOrFail(Schema.String, Schema.String, {
            decode: ParseResult.succeed,
            encode: (text) => Effect.as(Effect.orDie(log.set(text, "encoded")), text),
            strict: true
          })
          const store = yield* storage.transaction(KeyValueStore.make({ keyspace: "logged", value: Logged }))
          yield* store.set("k", "v")
          deepStrictEqual(yield* store.get("k"), Option.some("v"))
          assert.isTrue(Option.isSome(yield* log.get("v")))
        })
      )

      test(
        "update atomically, under contention too",
        Effect.gen(function*() {
          const slow = yield* SlowNumbers
          assert.strictEqual(yield* slow.increment("n", 1), 1)
          yield* Effect.forEach(Array.from({ length: 30 }), () => slow.increment("n", 1), { concurrency: "unbounded" })
          assert.strictEqual(yield* slow.getOrFail("n"), 31)
          deepStrictEqual(yield* slow.swap("n", 5), Option.some(31))
          deepStrictEqual(yield* slow.take("n"), Option.some(5))
          deepStrictEqual(yield* slow.getOrInsert("n", () => 7), 7)
          yield* slow.setMany([["a", 1], ["b", 2]])
          deepStrictEqual(yield* slow.toMap(), new Map([["a", 1], ["b", 2], ["n", 7]]))
          deepStrictEqual(yield* slow.getMany(["a", "x"]), [Option.some(1), Option.none()])
          const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("slow"))
          yield* keyspace.set("bad", "-1")
          assert.strictEqual((yield* Effect.flip(slow.update("bad", (n) => n))).message.includes("negative"), true)
          const lenient = yield* kind.make({ keyspace: "slow", onDecodeFailure: "miss", value: Slow })
          deepStrictEqual(yield* lenient.get("bad"), Option.none())
          assert.strictEqual(yield* lenient.size(), 4)
          assert.strictEqual((yield* lenient.toMap()).size, 3)
        })
      )
    })

    describe("transactions", () => {
      test(
        "hold several stores together",
        Effect.gen(function*() {
          const users = yield* Users
          const integers = yield* Integers
          const both = Effect.zipRight(users.set("ada", ada), integers.increment("count", 1n))
          assert.strictEqual(yield* Effect.flip(users.transaction(Effect.zipRight(both, Effect.fail("no")))), "no")
          assert.isFalse(yield* users.has("ada"))
          assert.isFalse(yield* integers.has("count"))
          yield* integers.transaction(both)
          assert.isTrue(yield* users.has("ada"))
          assert.strictEqual(yield* integers.getOrFail("count"), 1n)
        })
      )

      test(
        "an interrupted update is whole or not at all, and the store goes on working",
        Effect.gen(function*() {
          const integers = yield* Integers
          let done = 0
          for (let steps = 0; steps < 30; steps++) {
            const fiber = yield* Effect.fork(Effect.withMaxOpsBeforeYield(integers.increment("n", 1n), 12))
            for (let i = 0; i < steps; i++) yield* Effect.yieldNow()
            if (Exit.isSuccess(yield* Fiber.interrupt(fiber))) done++
          }
          const total = Option.getOrElse(yield* integers.get("n"), () => 0n)
          assert.isAtLeast(Number(total), done)
          assert.isAtMost(Number(total), 30)
          assert.strictEqual(yield* integers.increment("n", 1n), total + 1n)
        })
      )
    })

    test(
      "two layers of one Storage share it, layerMemory has its own",
      Effect.gen(function*() {
        const users = yield* Users
        yield* users.set("ada", ada)
        const again = yield* Effect.provide(Users, Users.layer)
        assert.isTrue(Equal.equals(yield* again.size(), 1))
        const other = yield* Effect.provide(Effect.flatMap(Users, (users) => users.size()), Users.layerMemory)
        assert.strictEqual(other, 0)
        // Also side by side: each layerMemory is a memory of its own.
        const sizes = yield* Effect.provide(
          Effect.gen(function*() {
            yield* (yield* Texts).set("k", "v")
            return yield* Effect.all([(yield* Texts).size(), (yield* TextsAgain).size()])
          }),
          Layer.merge(Texts.layerMemory, TextsAgain.layerMemory)
        )
        deepStrictEqual(sizes, [1, 0])
      })
    )
  })
