/** What the waist promises, on any engine. The rules are those that docs/storage.md numbers. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Deferred, Effect, Exit, Fiber, Option, Schedule, Stream, TestClock } from "effect"
import { Storage, type StorageError } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"

const utf8 = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))

const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

const valueOf = <K>(entry: Option.Option<Storage.Entry<K>>) =>
  Option.getOrUndefined(Option.map(entry, ({ value }) => value))

const open = Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("test"))

const entry = (key: string, value: Storage.Value = `value of ${key}`, expiresAt?: number): Storage.Entry => ({
  expiresAt,
  key,
  value
})

const isReason = (reason: StorageError.StorageErrorReason) => (error: unknown) =>
  typeof error === "object" && error !== null && "reason" in error && error.reason === reason

export const suite = (engine: Engine) =>
  describeOn(engine, "Storage", () => {
    const test = <A, E>(title: string, body: Effect.Effect<A, E, Storage.Storage>) =>
      it.effect(title, () => Effect.provide(body, engine.layer))

    describe("entries", () => {
      test(
        "text stays text and bytes stay bytes",
        Effect.gen(function*() {
          const keyspace = yield* open
          const bytes = new Uint8Array([0, 1, 254, 255])
          yield* keyspace.set("text", "a\0b \u{1F600} é")
          yield* keyspace.set("bytes", bytes)
          yield* keyspace.set("empty text", "")
          yield* keyspace.set("no bytes", new Uint8Array())
          assert.strictEqual(valueOf(yield* keyspace.get("text")), "a\0b \u{1F600} é")
          deepStrictEqual(valueOf(yield* keyspace.get("bytes")), bytes)
          assert.strictEqual(valueOf(yield* keyspace.get("empty text")), "")
          deepStrictEqual(valueOf(yield* keyspace.get("no bytes")), new Uint8Array())
          deepStrictEqual(yield* keyspace.get("absent"), Option.none())
        })
      )

      test(
        "what is stored is not changed through the caller's own bytes",
        Effect.gen(function*() {
          const keyspace = yield* open
          const mine = new Uint8Array([1, 2, 3])
          yield* keyspace.set("k", mine)
          mine[0] = 9
          const got = valueOf(yield* keyspace.get("k"))
          deepStrictEqual(got, new Uint8Array([1, 2, 3]))
          if (got instanceof Uint8Array) got[0] = 9
          deepStrictEqual(valueOf(yield* keyspace.get("k")), new Uint8Array([1, 2, 3]))
          // A Buffer shares its memory with its slices.
          const buffer = Buffer.from([1, 255])
          yield* keyspace.set("k", buffer)
          const bytes = yield* Effect.flatMap(Storage.Storage, (_) => _.keyspace("bytes", { keys: "bytes" }))
          yield* bytes.set(buffer, buffer)
          deepStrictEqual(yield* collect(bytes.keys({ prefix: buffer })), [new Uint8Array([1, 255])])
          deepStrictEqual(buffer, Buffer.from([1, 255]))
          buffer[0] = 9
          deepStrictEqual(valueOf(yield* keyspace.get("k")), new Uint8Array([1, 255]))
          deepStrictEqual(yield* collect(bytes.keys()), [new Uint8Array([1, 255])])
        })
      )

      test(
        "a value of 5 MB comes back whole, and a lone surrogate or something else is refused",
        Effect.gen(function*() {
          const keyspace = yield* open
          const large = "0123456789".repeat(500_000)
          yield* keyspace.set("k", large)
          assert.strictEqual(valueOf(yield* keyspace.get("k")), large)
          assert(isReason("InvalidValue")(yield* Effect.flip(keyspace.set("k", "\ud800"))))
          assert(isReason("InvalidValue")(yield* Effect.flip(keyspace.setMany([entry("k", "a\udc00")]))))
          assert(
            isReason("InvalidValue")(
              yield* Effect.flip(keyspace.modify("k", () => [undefined, Storage.put("\ud800")]))
            )
          )
          // @ts-expect-error a number is not a value
          assert(isReason("InvalidValue")(yield* Effect.flip(keyspace.set("k", 1))))
          assert.strictEqual(valueOf(yield* keyspace.get("k")), large)
        })
      )

      test(
        "set replaces value and expiry",
        Effect.gen(function*() {
          const keyspace = yield* open
          yield* keyspace.set("k", "1", 1000)
          yield* keyspace.set("k", "2")
          deepStrictEqual(yield* keyspace.get("k"), Option.some(entry("k", "2")))
          yield* keyspace.set("k", "3", 2000)
          deepStrictEqual(yield* keyspace.get("k"), Option.some(entry("k", "3", 2000)))
        })
      )

      test(
        "modify keeps, puts and removes, and a throwing function changes nothing and dies",
        Effect.gen(function*() {
          const keyspace = yield* open
          assert.isTrue(yield* keyspace.modify("k", (found) => [Option.isNone(found), Storage.keep]))
          assert.isTrue(Option.isNone(yield* keyspace.get("k")))
          assert.strictEqual(yield* keyspace.modify("k", () => ["put", Storage.put("1", 5000)]), "put")
          const exit = yield* Effect.exit(keyspace.modify("k", () => {
            throw new Error("boom")
          }))
          assert(Exit.isFailure(exit) && exit.cause._tag === "Die")
          deepStrictEqual(yield* keyspace.get("k"), Option.some(entry("k", "1", 5000)))
          deepStrictEqual(
            yield* keyspace.modify("k", (found) => [found, Storage.remove]),
            Option.some(entry("k", "1", 5000))
          )
          assert.isTrue(Option.isNone(yield* keyspace.get("k")))
          yield* keyspace.set("k", "the connection still works")
        })
      )

      test(
        "concurrent modifies of one key lose no update",
        Effect.gen(function*() {
          const keyspace = yield* open
          yield* Effect.forEach(
            Array.from({ length: 500 }),
            () => keyspace.modify("n", (found) => [undefined, Storage.put(String(1 + Number(valueOf(found) ?? 0)))]),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(valueOf(yield* keyspace.get("n")), "500")
        })
      )

      test(
        "concurrent writes of many fibers all arrive, also when some fail",
        Effect.gen(function*() {
          const keyspace = yield* open
          const exits = yield* Effect.forEach(Array.from({ length: 300 }, (_, i) => i), (i) =>
            Effect.exit(
              i % 3 === 0
                ? keyspace.set(`k${i}`, `v${i}`)
                : i % 3 === 1
                ? Effect.asVoid(keyspace.remove(`none${i}`))
                : keyspace.modify(`k${i}`, () => {
                  throw new Error("boom")
                })
            ), { concurrency: "unbounded" })
          exits.forEach((exit, i) => assert.strictEqual(Exit.isSuccess(exit), i % 3 !== 2))
          assert.strictEqual((yield* keyspace.stat()).entries, 100)
        })
      )

      test(
        "peek reads the first entries of a range, and leaves them",
        Effect.gen(function*() {
          const keyspace = yield* open
          yield* keyspace.setMany(["a", "b", "c", "d"].map((key) => entry(key)))
          const keys = (range: Storage.Range, limit: number) =>
            Effect.map(keyspace.peek(range, limit), (entries) => entries.map(({ key }) => key))
          deepStrictEqual(yield* keys({}, 2), ["a", "b"])
          deepStrictEqual(yield* keys({ reverse: true }, 2), ["d", "c"])
          deepStrictEqual(yield* keys({ after: "b" }, 9), ["c", "d"])
          deepStrictEqual(yield* keys({ limit: 1 }, 9), ["a"])
          deepStrictEqual(yield* keys({ limit: 9 }, 1), ["a"])
          deepStrictEqual(yield* keys({}, Infinity), ["a", "b", "c", "d"])
          deepStrictEqual(yield* keys({}, 0), [])
          deepStrictEqual(yield* keys({ from: "x" }, 1), [])
          deepStrictEqual(yield* keyspace.peek({ through: "a" }, 9), [entry("a")])
          assert.strictEqual((yield* Effect.flip(keyspace.peek({ from: "\0" }, 1)))._tag, "InvalidKey")
          assert.strictEqual((yield* keyspace.stat()).entries, 4)
        })
      )

      test(
        "modify puts other entries along, all or none",
        Effect.gen(function*() {
          const keyspace = yield* open
          const others = ["b", "c"].map((key) => entry(key))
          assert.strictEqual(yield* keyspace.modify("a", () => [1, Storage.put("a", undefined, others)]), 1)
          deepStrictEqual((yield* keyspace.peek({}, 9)).map(({ key }) => key), ["a", "b", "c"])
          // What cannot be kept, of any of them, keeps all from being written.
          const bad = [{ expiresAt: undefined, key: "d", value: "v" }, { expiresAt: undefined, key: "\0", value: "v" }]
          const refused = yield* Effect.flip(keyspace.modify("e", () => [1, Storage.put("e", undefined, bad)]))
          assert.strictEqual(refused._tag, "InvalidKey")
          const expiring = [{ expiresAt: NaN, key: "d", value: "v" }]
          const invalid = yield* Effect.flip(keyspace.modify("e", () => [1, Storage.put("e", undefined, expiring)]))
          assert.strictEqual(invalid._tag === "StorageError" ? invalid.reason : invalid._tag, "InvalidValue")
          deepStrictEqual((yield* keyspace.peek({}, 9)).map(({ key }) => key), ["a", "b", "c"])
          // The last of a key wins; each has its own expiry.
          yield* keyspace.modify("a", () => [
            1,
            Storage.put("first", undefined, [
              { expiresAt: 5000, key: "f", value: "v" },
              { expiresAt: undefined, key: "a", value: "last" }
            ])
          ])
          deepStrictEqual(yield* keyspace.get("a"), Option.some({ expiresAt: undefined, key: "a", value: "last" }))
          deepStrictEqual(yield* keyspace.head("f"), Option.some({ expiresAt: 5000 }))
          // In a transaction they are part of it.
          const storage = yield* Storage.Storage
          yield* Effect.exit(storage.transaction(
            Effect.zipRight(
              keyspace.modify("g", () => [1, Storage.put("g", undefined, [entry("h")])]),
              Effect.fail("undone")
            )
          ))
          assert.isTrue(Option.isNone(yield* keyspace.get("g")))
          assert.isTrue(Option.isNone(yield* keyspace.get("h")))
          // Many at once, each with some.
          yield* Effect.forEach(
            Array.from({ length: 50 }, (_, i) => i),
            (i) =>
              keyspace.modify("n", (found) => [
                undefined,
                Storage.put(String(1 + Number(valueOf(found) ?? 0)), undefined, [entry(`n${i}`), entry(`m${i}`)])
              ]),
            { concurrency: "unbounded", discard: true }
          )
          assert.strictEqual(valueOf(yield* keyspace.get("n")), "50")
          assert.strictEqual((yield* keyspace.stat({ prefix: "n" })).entries, 51)
          assert.strictEqual((yield* keyspace.stat({ prefix: "m" })).entries, 50)
        })
      )

      test(
        "take gives each entry to exactly one caller, in order",
        Effect.gen(function*() {
          const keyspace = yield* open
          const keys = Array.from({ length: 200 }, (_, i) => `k${String(i).padStart(3, "0")}`)
          yield* keyspace.setMany(keys.map((key) => entry(key)))
          deepStrictEqual((yield* keyspace.take({}, 2)).map((_) => _.key), ["k000", "k001"])
          assert.strictEqual((yield* keyspace.take({ through: "k001" }, 1e300)).length, 0)
          deepStrictEqual((yield* keyspace.take({ reverse: true }, 2)).map((_) => _.key), ["k199", "k198"])
          deepStrictEqual(yield* keyspace.take({}, 0), [])
          const taken = yield* Effect.forEach(Array.from({ length: 60 }), () => keyspace.take({}, 7), {
            concurrency: "unbounded"
          })
          const got = taken.flat().map((_) => _.key)
          assert.strictEqual(got.length, 196)
          deepStrictEqual([...got].sort(), keys.slice(2, 198))
          assert.strictEqual((yield* keyspace.stat()).entries, 0)
        })
      )

      test(
        "stat counts entries and the bytes of keys and values",
        Effect.gen(function*() {
          const keyspace = yield* open
          deepStrictEqual(yield* keyspace.stat(), { bytes: 0, entries: 0 })
          yield* keyspace.set("é", "ü")
          yield* keyspace.set("b", new Uint8Array(10))
          deepStrictEqual(yield* keyspace.stat(), { bytes: 2 + 2 + 1 + 10, entries: 2 })
          deepStrictEqual(yield* keyspace.stat({ limit: 1, prefix: "b" }), { bytes: 11, entries: 1 })
        })
      )

      test(
        "remove and clear tell what was there",
        Effect.gen(function*() {
          const keyspace = yield* open
          yield* keyspace.setMany(["a", "b", "c", "d"].map((key) => entry(key)))
          assert.isTrue(yield* keyspace.remove("a"))
          assert.isFalse(yield* keyspace.remove("a"))
          assert.strictEqual(yield* keyspace.removeMany(["b", "b", "x"]), 1)
          assert.strictEqual(yield* keyspace.removeMany([]), 0)
          assert.strictEqual(yield* keyspace.clear({ from: "d", limit: 0 }), 1)
          assert.strictEqual(yield* keyspace.clear(), 1)
          assert.strictEqual(yield* keyspace.clear(), 0)
        })
      )

      test(
        "clear of a long range leaves what is outside",
        Effect.gen(function*() {
          const keyspace = yield* open
          yield* keyspace.setMany(Array.from({ length: 5000 }, (_, i) => entry(`in/${i}`, "v")))
          yield* keyspace.setMany([entry("a"), entry("in"), entry("in0"), entry("z")])
          assert.strictEqual(yield* keyspace.clear({ prefix: "in/" }), 5000)
          deepStrictEqual(yield* collect(keyspace.keys()), ["a", "in", "in0", "z"])
        })
      )
    })

    describe("rule 1: an expired entry is absent to every operation", () => {
      const expired = Effect.gen(function*() {
        const keyspace = yield* open
        yield* keyspace.set("gone", "old", 1000)
        yield* keyspace.set("here", "v", 1001)
        yield* keyspace.set("always", "v")
        yield* TestClock.setTime(1000)
        return keyspace
      })

      test(
        "it is there while now < expiresAt, and not from then on",
        Effect.gen(function*() {
          const keyspace = yield* open
          yield* keyspace.set("k", "v", 1000)
          yield* TestClock.setTime(999)
          assert.isTrue(Option.isSome(yield* keyspace.get("k")))
          yield* TestClock.setTime(1000)
          assert.isTrue(Option.isNone(yield* keyspace.get("k")))
        })
      )

      test(
        "get, getMany, keys, entries, stat, take",
        Effect.gen(function*() {
          const keyspace = yield* expired
          assert.isTrue(Option.isNone(yield* keyspace.get("gone")))
          deepStrictEqual(
            (yield* keyspace.getMany(["gone", "here"])).map(valueOf),
            [undefined, "v"]
          )
          deepStrictEqual(yield* collect(keyspace.keys()), ["always", "here"])
          deepStrictEqual((yield* collect(keyspace.entries())).map((_) => _.key), ["always", "here"])
          deepStrictEqual(yield* keyspace.stat(), { bytes: 12, entries: 2 })
          deepStrictEqual((yield* keyspace.take({}, 10)).map((_) => _.key), ["always", "here"])
        })
      )

      test(
        "remove, removeMany and clear do not count it",
        Effect.gen(function*() {
          const keyspace = yield* expired
          assert.isFalse(yield* keyspace.remove("gone"))
          yield* keyspace.set("gone", "old", 500)
          assert.strictEqual(yield* keyspace.removeMany(["gone", "here"]), 1)
          yield* keyspace.set("gone", "old", 500)
          assert.strictEqual(yield* keyspace.clear({ prefix: "g" }), 0)
          yield* keyspace.set("gone", "old", 500)
          assert.strictEqual(yield* keyspace.clear(), 1)
        })
      )

      test(
        "modify does not see it, so an insert succeeds over it",
        Effect.gen(function*() {
          const keyspace = yield* expired
          assert.isTrue(
            yield* keyspace.modify("gone", (found) => [Option.isNone(found), Storage.put("new")])
          )
          deepStrictEqual(yield* keyspace.get("gone"), Option.some(entry("gone", "new")))
        })
      )

      test(
        "a past, infinite, fractional or unreasonable expiry is accepted and means what it says",
        Effect.gen(function*() {
          const keyspace = yield* expired
          yield* keyspace.setMany([
            entry("past", "v", -5),
            entry("never", "v", Infinity),
            entry("fraction", "v", 1000.5),
            entry("far", "v", 1e300),
            entry("long ago", "v", -1e300)
          ])
          deepStrictEqual(
            yield* collect(keyspace.keys()),
            ["always", "far", "fraction", "here", "never"]
          )
          deepStrictEqual(yield* keyspace.get("never"), Option.some(entry("never", "v")))
          yield* TestClock.setTime(1001)
          deepStrictEqual(yield* collect(keyspace.keys()), ["always", "far", "never"])
        })
      )
    })

    test(
      "an expiry that is no number is refused, and what was there stays",
      Effect.gen(function*() {
        const keyspace = yield* open
        yield* keyspace.set("k", "good")
        assert(isReason("InvalidValue")(yield* Effect.flip(keyspace.set("k", "v", NaN))))
        assert(isReason("InvalidValue")(yield* Effect.flip(keyspace.setMany([entry("k", "v", Date.parse("bad"))]))))
        assert(
          isReason("InvalidValue")(
            yield* Effect.flip(keyspace.modify("k", () => [undefined, Storage.put("v", NaN)]))
          )
        )
        assert.strictEqual(valueOf(yield* keyspace.get("k")), "good")
      })
    )

    describe("rule 2: reads never write", () => {
      test(
        "what is expired stays until it is removed, and removeExpired removes only that",
        Effect.gen(function*() {
          const keyspace = yield* open
          yield* keyspace.setMany(Array.from({ length: 10 }, (_, i) => entry(`k${i}`, "v", 1000 + i)))
          yield* keyspace.set("always", "v")
          yield* TestClock.setTime(1004)
          yield* keyspace.get("k0")
          yield* keyspace.getMany(["k1", "k2"])
          yield* collect(keyspace.entries())
          yield* keyspace.stat()
          for (const limit of [0, -1, NaN, 0.5]) {
            assert.strictEqual((yield* keyspace.removeExpired({ limit })).removed, 0)
          }
          assert.strictEqual((yield* keyspace.removeExpired({ limit: 3.5 })).removed, 3)
          assert.strictEqual((yield* keyspace.removeExpired({ limit: 3 })).removed, 2)
          assert.strictEqual((yield* keyspace.removeExpired({ limit: 3 })).removed, 0)
          assert.strictEqual((yield* keyspace.stat()).entries, 6)
        })
      )

      test(
        "maintenance.compact removes what is expired in every keyspace",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const [a, b] = yield* Effect.all([storage.keyspace("a"), storage.keyspace("b", { keys: "bytes" })])
          yield* a.setMany(Array.from({ length: 450 }, (_, i) => entry(`k${i}`, "v", 1)))
          yield* b.set(new Uint8Array([1]), "v", 1)
          yield* a.set("stays", "v")
          yield* TestClock.setTime(10)
          assert.strictEqual(yield* storage.maintenance.compact, 451)
          assert.strictEqual((yield* a.removeExpired({ limit: 1000 })).removed, 0)
          deepStrictEqual(
            (yield* storage.maintenance.stats).map(({ entries, keyspace }) => [keyspace, entries]),
            [["a", 1], ["b", 0]]
          )
          yield* storage.maintenance.flush
        })
      )
    })

    describe("rule 3: a write is whole or not at all", () => {
      test(
        "one modify that several fibers run answers each for itself",
        Effect.gen(function*() {
          const keyspace = yield* open
          let runs = 0
          // The first puts what no engine keeps, the second keeps what is there.
          const modify = keyspace.modify("k", () => ++runs === 1 ? [1, Storage.put("v", NaN)] : [2, Storage.keep])
          const [, ...exits] = yield* Effect.all(
            [keyspace.set("other", "v"), Effect.exit(modify), Effect.exit(modify)],
            { concurrency: 3 }
          )
          deepStrictEqual(exits.map((exit) => exit._tag).sort(), ["Failure", "Success"])
          deepStrictEqual(yield* keyspace.get("k"), Option.none())
        })
      )

      test(
        "interrupted after any number of steps",
        Effect.gen(function*() {
          const keyspace = yield* open
          for (let steps = 0; steps < 40; steps++) {
            const keys = [`${steps}/a`, `${steps}/b`, `${steps}/c`]
            const fiber = yield* Effect.fork(
              Effect.withMaxOpsBeforeYield(keyspace.setMany(keys.map((key) => entry(key))), 12)
            )
            for (let i = 0; i < steps; i++) yield* Effect.yieldNow()
            const exit = yield* Fiber.interrupt(fiber)
            const { entries } = yield* keyspace.stat({ prefix: `${steps}/` })
            assert.include(Exit.isSuccess(exit) ? [3] : [0, 3], entries)
          }
          yield* keyspace.set("after", "v")
        })
      )

      test(
        "setMany with one bad key or value writes nothing",
        Effect.gen(function*() {
          const keyspace = yield* open
          const bad = yield* Effect.flip(keyspace.setMany([entry("a"), entry("b\0")]))
          assert.strictEqual(bad._tag, "InvalidKey")
          yield* Effect.flip(keyspace.setMany([entry("a"), entry("b", "\ud800")]))
          assert.strictEqual((yield* keyspace.stat()).entries, 0)
        })
      )
    })

    describe("rule 4: keys are in the byte order of UTF-8", () => {
      const keys = [
        "",
        "\u0001",
        "A",
        "Z",
        "a",
        "aa",
        "b",
        "é",
        "\uD7FF",
        "\uE000",
        "\uFFFD",
        "\uFFFF",
        "\u{10000}",
        "\u{10FFFF}",
        "\u{10FFFF}a"
      ]

      test(
        "also where surrogate pairs are",
        Effect.gen(function*() {
          const keyspace = yield* open
          yield* keyspace.setMany([...keys].reverse().map((key) => entry(key)))
          deepStrictEqual(yield* collect(keyspace.keys()), [...keys].sort(utf8))
          deepStrictEqual(yield* collect(keyspace.keys({ reverse: true })), [...keys].sort(utf8).reverse())
          deepStrictEqual(
            yield* collect(keyspace.keys({ from: "\uD7FF", to: "\u{10000}" })),
            ["\uD7FF", "\uE000", "\uFFFD", "\uFFFF"]
          )
          deepStrictEqual(
            yield* collect(keyspace.keys({ prefix: "\u{10FFFF}" })),
            ["\u{10FFFF}", "\u{10FFFF}a"]
          )
          deepStrictEqual(yield* collect(keyspace.keys({ prefix: "\uD7FF" })), ["\uD7FF"])
        })
      )

      test(
        "bounds combine, and a limit ends",
        Effect.gen(function*() {
          const keyspace = yield* open
          yield* keyspace.setMany(["a", "b", "c", "d", "e"].map((key) => entry(key)))
          const read = (range: Storage.Range) => Effect.map(collect(keyspace.keys(range)), (keys) => keys.join(""))
          assert.strictEqual(yield* read({ from: "b", to: "d" }), "bc")
          assert.strictEqual(yield* read({ from: "b", through: "d" }), "bcd")
          assert.strictEqual(yield* read({ after: "b" }), "cde")
          assert.strictEqual(yield* read({ after: "d", reverse: true }), "cba")
          assert.strictEqual(yield* read({ after: "b", from: "d" }), "de")
          assert.strictEqual(yield* read({ after: "d", from: "b" }), "e")
          assert.strictEqual(yield* read({ after: "b", from: "b" }), "cde")
          assert.strictEqual(yield* read({ through: "b", to: "d" }), "ab")
          assert.strictEqual(yield* read({ through: "b", to: "b" }), "a")
          assert.strictEqual(yield* read({ from: "d", to: "b" }), "")
          assert.strictEqual(yield* read({ prefix: "c", from: "d" }), "")
          assert.strictEqual(yield* read({ limit: 2 }), "ab")
          assert.strictEqual(yield* read({ limit: 2, reverse: true }), "ed")
          assert.strictEqual(yield* read({ limit: 0 }), "")
          assert.strictEqual(yield* read({ limit: -1 }), "")
          assert.strictEqual(yield* read({ limit: NaN }), "")
          assert.strictEqual(yield* read({ limit: 2.9 }), "ab")
          assert.strictEqual(yield* read({ limit: Infinity }), "abcde")
        })
      )

      test(
        "streams read many pages, forwards and backwards, values of any size",
        Effect.gen(function*() {
          const keyspace = yield* open
          const keys = Array.from({ length: 3000 }, (_, i) => `k${String(i).padStart(5, "0")}`)
          yield* keyspace.setMany(keys.map((key, i) => entry(key, i % 500 === 0 ? "x".repeat(300_000) : "small")))
          deepStrictEqual(yield* collect(keyspace.keys()), keys)
          deepStrictEqual(
            (yield* collect(keyspace.entries({ reverse: true }))).map((_) => _.key),
            [...keys].reverse()
          )
          deepStrictEqual(
            (yield* collect(keyspace.entries({ limit: 1500 }))).map((_) => _.key),
            keys.slice(0, 1500)
          )
        })
      )

      test(
        "a stream sees what is there throughout exactly once, while others write",
        Effect.gen(function*() {
          const keyspace = yield* open
          const keys = Array.from({ length: 1000 }, (_, i) => `k${String(i).padStart(5, "0")}`)
          yield* keyspace.setMany(keys.map((key) => entry(key)))
          const seen = yield* collect(Stream.tap(
            Stream.rechunk(keyspace.keys(), 1),
            (key) =>
              key.endsWith("+")
                ? Effect.void
                : Effect.all([keyspace.remove(key), keyspace.set(`${key}+`, "new"), keyspace.set(`a${key}+`, "new")])
          ))
          deepStrictEqual(seen.filter((key) => key.startsWith("k") && !key.endsWith("+")), keys)
          assert.strictEqual(new Set(seen).size, seen.length)
        })
      )
    })

    describe("rule 5: keys are at most 2,048 bytes of well-formed text", () => {
      test(
        "others are refused by every operation, and nothing happens",
        Effect.gen(function*() {
          const keyspace = yield* open
          const bad = ["a".repeat(2049), "é".repeat(1025), "a\0", "\ud800", "x\udc00y", "\ud83d"]
          for (const key of bad) {
            const attempts: ReadonlyArray<Effect.Effect<unknown, StorageError.StorageError | StorageError.InvalidKey>> =
              [
                keyspace.get(key),
                keyspace.getMany(["ok", key]),
                keyspace.set(key, "v"),
                keyspace.setMany([entry(key)]),
                keyspace.modify(key, () => [undefined, Storage.put("v")]),
                keyspace.remove(key),
                keyspace.removeMany([key]),
                keyspace.take({ from: key }, 1),
                Stream.runDrain(keyspace.entries({ prefix: key })),
                Stream.runDrain(keyspace.keys({ after: key })),
                keyspace.stat({ to: key }),
                keyspace.clear({ through: key })
              ]
            for (const attempt of attempts) {
              const error = yield* Effect.flip(attempt)
              assert.strictEqual(error._tag, "InvalidKey")
              assert.include(error.message, "keyspace \"test\"")
            }
          }
          // @ts-expect-error keys are strings
          assert.strictEqual((yield* Effect.flip(keyspace.get(1)))._tag, "InvalidKey")
          assert.strictEqual((yield* keyspace.stat()).entries, 0)
        })
      )

      test(
        "the longest, the empty and unusual ones are keys, and each is its own",
        Effect.gen(function*() {
          const keyspace = yield* open
          const keys = [
            "",
            " ",
            "a".repeat(2048),
            "é".repeat(1024),
            "\u{1F600}".repeat(512),
            "%",
            "_",
            "'",
            "\"",
            "\\",
            "a%",
            "A%",
            "e\u0301",
            "é",
            "null",
            "--",
            "[]"
          ]
          yield* keyspace.setMany(keys.map((key) => entry(key)))
          for (const key of keys) deepStrictEqual(yield* keyspace.get(key), Option.some(entry(key)))
          deepStrictEqual((yield* keyspace.getMany(keys)).map(valueOf), keys.map((key) => `value of ${key}`))
          assert.strictEqual((yield* keyspace.stat()).entries, keys.length)
          assert.strictEqual(yield* keyspace.removeMany(keys), keys.length)
        })
      )

      test(
        "byte keys take any bytes, in their order",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const keyspace = yield* storage.keyspace("bytes", { keys: "bytes" })
          const keys = [[], [0], [0, 0], [0, 255], [1], [127], [128], [255], [255, 0], [255, 255], [255, 255, 255]].map(
            (
              key
            ) => new Uint8Array(key)
          )
          yield* keyspace.setMany(
            [...keys].reverse().map((key, i) => ({ expiresAt: undefined, key, value: String(i) }))
          )
          deepStrictEqual(yield* collect(keyspace.keys()), keys)
          deepStrictEqual(
            yield* collect(keyspace.keys({ prefix: new Uint8Array([255, 255]) })),
            keys.slice(-2)
          )
          deepStrictEqual(
            yield* collect(keyspace.keys({ prefix: new Uint8Array([0]) })),
            keys.slice(1, 4)
          )
          deepStrictEqual((yield* keyspace.getMany([keys[3]!, keys[0]!])).map(valueOf), ["7", "10"])
          const mine = new Uint8Array([7])
          yield* keyspace.set(mine, "v")
          mine[0] = 8
          assert.isTrue(Option.isSome(yield* keyspace.get(new Uint8Array([7]))))
          assert.strictEqual(yield* keyspace.removeMany(keys), keys.length)
          yield* keyspace.set(new Uint8Array(2048), "v")
          assert.strictEqual((yield* Effect.flip(keyspace.set(new Uint8Array(2049), "v")))._tag, "InvalidKey")
          // @ts-expect-error keys are bytes
          assert.strictEqual((yield* Effect.flip(keyspace.get("a")))._tag, "InvalidKey")
          deepStrictEqual((yield* keyspace.take({ from: new Uint8Array([7]) }, 5)).map((_) => _.value), ["v"])
        })
      )

      test(
        "a keyspace keeps the kind of keys it was created with",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          yield* storage.keyspace("text")
          yield* storage.keyspace("bytes", { keys: "bytes" })
          assert(isReason("Incompatible")(yield* Effect.flip(storage.keyspace("text", { keys: "bytes" }))))
          assert(isReason("Incompatible")(yield* Effect.flip(storage.keyspace("bytes"))))
        })
      )
    })

    describe("rule 6: any string is a keyspace name, and different names are different keyspaces", () => {
      const names = [
        "",
        " ",
        "a",
        "A",
        "a-b",
        "a_b",
        "a b",
        "a:b",
        "order",
        "select",
        "123",
        "kv_catalog",
        "sqlite_master",
        "x'; DROP TABLE kv_catalog; --",
        "\"",
        "`",
        "]",
        "%",
        "\0",
        "a\0b",
        "\ud800",
        "\udc00",
        "\ufffd",
        "é",
        "e\u0301",
        "n".repeat(300),
        "n".repeat(301),
        "n".repeat(5000)
      ]

      test(
        "all at once",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          yield* Effect.forEach(
            names,
            (name, i) => Effect.flatMap(storage.keyspace(name), (keyspace) => keyspace.set("k", `${i}`)),
            { concurrency: "unbounded" }
          )
          for (const [i, name] of names.entries()) {
            const keyspace = yield* storage.keyspace(name)
            assert.strictEqual(keyspace.name, name)
            assert.strictEqual(valueOf(yield* keyspace.get("k")), `${i}`)
            assert.strictEqual((yield* keyspace.stat()).entries, 1)
          }
          yield* (yield* storage.keyspace("a-b")).clear()
          assert.isTrue(Option.isSome(yield* (yield* storage.keyspace("a_b")).get("k")))
        })
      )

      test(
        "maintenance.keyspaces tells which there are, with their keys, in the byte order of their names",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          deepStrictEqual(yield* storage.maintenance.keyspaces, [])
          yield* Effect.forEach(names.toReversed(), (name) => storage.keyspace(name))
          yield* storage.keyspace("\u{1F600}", { keys: "bytes" })
          yield* storage.keyspace("\uffff")
          const found = yield* storage.maintenance.keyspaces
          deepStrictEqual(
            found.filter(({ name }) => name.isWellFormed()),
            [...names.filter((name) => name.isWellFormed()), "\u{1F600}", "\uffff"].sort(utf8)
              .map((name) => ({ keys: name === "\u{1F600}" ? "bytes" : "text", name }))
          )
          // A lone surrogate has no bytes of its own; it has one place on every engine all the same.
          deepStrictEqual(
            found.slice(-4).map(({ name }) => name),
            ["\uffff", "\ud800", "\u{1F600}", "\udc00"]
          )
        })
      )

      test(
        "a keyspace is told of in the transaction that creates it, and no more once that is rolled back",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const inside = yield* Effect.flip(storage.transaction(Effect.gen(function*() {
            yield* storage.keyspace("new")
            return yield* Effect.fail(yield* storage.maintenance.keyspaces)
          })))
          deepStrictEqual(inside, [{ keys: "text", name: "new" }])
          deepStrictEqual(yield* storage.maintenance.keyspaces, [])
        })
      )
    })

    describe("rule 7: no bulk operation has a limit that a user can hit", () => {
      test(
        "100,000 keys, with duplicates, aligned with the input",
        Effect.gen(function*() {
          const keyspace = yield* open
          yield* keyspace.setMany(Array.from({ length: 40_000 }, (_, i) => entry(`k${i}`, `v${i}`)))
          const keys = Array.from({ length: 100_000 }, (_, i) => `k${(i * 7) % 50_000}`)
          const found = yield* keyspace.getMany(keys)
          assert.strictEqual(found.length, keys.length)
          keys.forEach((key, i) => {
            const n = Number(key.slice(1))
            if (valueOf(found[i]!) !== (n < 40_000 ? `v${n}` : undefined)) assert.fail(`wrong answer at ${i}`)
          })
          deepStrictEqual(yield* keyspace.getMany([]), [])
          assert.strictEqual(yield* keyspace.removeMany(keys), 40_000)
          yield* keyspace.setMany([])
        })
      )

      test(
        "of several entries with one key the last wins",
        Effect.gen(function*() {
          const keyspace = yield* open
          yield* keyspace.setMany([entry("k", "1"), entry("x", "x"), entry("k", "2"), entry("k", "3", 5000)])
          deepStrictEqual(yield* keyspace.get("k"), Option.some(entry("k", "3", 5000)))
          assert.strictEqual((yield* keyspace.stat()).entries, 2)
        })
      )
    })

    describe("transactions", () => {
      test(
        "commit together, and roll back on failure, defect and interruption",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const [a, b] = yield* Effect.all([storage.keyspace("a"), storage.keyspace("b")])
          const both = Effect.zipRight(a.set("k", "v"), b.set("k", "v"))
          const count = Effect.zipWith(a.stat(), b.stat(), (a, b) => a.entries + b.entries)
          assert.strictEqual(
            yield* Effect.flip(storage.transaction(Effect.zipRight(both, Effect.fail("no")))),
            "no"
          )
          assert.strictEqual(yield* count, 0)
          const died = yield* Effect.exit(storage.transaction(Effect.zipRight(both, Effect.die("bug"))))
          assert(Exit.isFailure(died) && died.cause._tag === "Die")
          assert.strictEqual(yield* count, 0)
          const reached = yield* Deferred.make<void>()
          const fiber = yield* Effect.fork(storage.transaction(
            both.pipe(Effect.zipRight(Deferred.succeed(reached, undefined)), Effect.zipRight(Effect.never))
          ))
          yield* Deferred.await(reached)
          yield* Fiber.interrupt(fiber)
          assert.strictEqual(yield* count, 0)
          yield* storage.transaction(both)
          assert.strictEqual(yield* count, 2)
        })
      )

      test(
        "see their own writes, and others see them only when they are committed",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const keyspace = yield* storage.keyspace("a")
          yield* keyspace.set("k", "before")
          const reader = yield* Deferred.make<void>()
          const fiber = yield* Effect.fork(Effect.zipRight(Deferred.await(reader), keyspace.get("k")))
          const inside = yield* storage.transaction(Effect.gen(function*() {
            yield* keyspace.set("k", "after")
            yield* Deferred.succeed(reader, undefined)
            for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
            const seen = yield* keyspace.get("k")
            yield* keyspace.set("k", "committed")
            return seen
          }))
          assert.strictEqual(valueOf(inside), "after")
          assert.strictEqual(valueOf(yield* Fiber.join(fiber)), "committed")
        })
      )

      test(
        "undo what a caller did to bytes it was given",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const keyspace = yield* storage.keyspace("a")
          yield* keyspace.set("k", new Uint8Array([1, 2, 3]))
          yield* Effect.flip(storage.transaction(Effect.gen(function*() {
            const [taken] = yield* keyspace.take({}, 1)
            if (taken?.value instanceof Uint8Array) taken.value.fill(9)
            return yield* Effect.fail("no")
          })))
          deepStrictEqual(valueOf(yield* keyspace.get("k")), new Uint8Array([1, 2, 3]))
        })
      )

      test(
        "undo the kind of a keyspace that was opened in them",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          yield* Effect.flip(storage.transaction(
            Effect.zipRight(storage.keyspace("x", { keys: "bytes" }), Effect.fail("no"))
          ))
          yield* (yield* storage.keyspace("x")).set("k", "v")
        })
      )

      test(
        "nest as savepoints",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const keyspace = yield* storage.keyspace("a")
          yield* storage.transaction(Effect.gen(function*() {
            yield* keyspace.set("outer", "1")
            yield* Effect.ignore(storage.transaction(Effect.zipRight(keyspace.set("inner", "1"), Effect.fail("no"))))
            yield* storage.transaction(Effect.gen(function*() {
              yield* keyspace.set("kept", "1")
              yield* Effect.ignore(storage.transaction(Effect.zipRight(keyspace.remove("outer"), Effect.fail("no"))))
            }))
          }))
          deepStrictEqual(yield* collect(keyspace.keys()), ["kept", "outer"])
        })
      )

      test(
        "concurrent nested ones in one fiber tree do not tear each other",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const keyspace = yield* storage.keyspace("a")
          yield* storage.transaction(
            Effect.forEach(Array.from({ length: 40 }, (_, i) => i), (i) => {
              const write = keyspace.set(`k${i}`, "v").pipe(
                Effect.zipRight(Effect.yieldNow()),
                Effect.zipRight(keyspace.set(`l${i}`, "v"))
              )
              return i % 4 === 3
                ? write
                : Effect.ignore(storage.transaction(i % 4 === 0 ? Effect.zipRight(write, Effect.fail("no")) : write))
            }, { concurrency: "unbounded" })
          )
          const expected = Array.from({ length: 40 }, (_, i) => i).filter((i) => i % 4 !== 0).flatMap((i) => [
            `k${i}`,
            `l${i}`
          ])
          deepStrictEqual(yield* collect(keyspace.keys()), expected.sort())
        })
      )

      test(
        "of many fibers are serializable",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const keyspace = yield* storage.keyspace("a")
          yield* Effect.forEach(
            Array.from({ length: 50 }),
            () =>
              storage.transaction(
                Effect.gen(function*() {
                  const now = Number(valueOf(yield* keyspace.get("n")) ?? 0)
                  yield* Effect.yieldNow()
                  yield* keyspace.set("n", String(now + 1))
                }),
                { retry: true }
              ),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(valueOf(yield* keyspace.get("n")), "50")
        })
      )

      test(
        "a fiber that outlives its transaction fails as Closed",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const keyspace = yield* storage.keyspace("a")
          const go = yield* Deferred.make<void>()
          const fiber = yield* storage.transaction(Effect.forkDaemon(
            Effect.zipRight(Deferred.await(go), Effect.flip(keyspace.set("late", "v")))
          ))
          yield* Deferred.succeed(go, undefined)
          assert(isReason("Closed")(yield* Fiber.join(fiber)))
          assert.strictEqual((yield* keyspace.stat()).entries, 0)
        })
      )

      test(
        "the body runs once, and again only for a lost transaction with retry",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          let runs = 0
          const failing = Effect.suspend(() => {
            runs++
            return Effect.fail("no")
          })
          yield* Effect.flip(storage.transaction(failing, { retry: Schedule.recurs(5) }))
          assert.strictEqual(runs, 1)
        })
      )

      test(
        "a keyspace that was opened in a rolled-back one works afterwards",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          yield* Effect.flip(storage.transaction(Effect.gen(function*() {
            const keyspace = yield* storage.keyspace("new")
            yield* keyspace.set("k", "v")
            return yield* Effect.fail("no")
          })))
          const keyspace = yield* storage.keyspace("new")
          assert.strictEqual((yield* keyspace.stat()).entries, 0)
          yield* keyspace.set("k", "v")
          assert.strictEqual((yield* keyspace.stat()).entries, 1)
        })
      )
    })
  })
