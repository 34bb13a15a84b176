/** What users, and what is stored, can do wrong: an error that says so, nothing destroyed, and never a defect. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import {
  Cause,
  Chunk,
  DateTime,
  Deferred,
  Effect,
  Exit,
  FastCheck as fc,
  Fiber,
  Layer,
  Option,
  ParseResult,
  Redacted,
  Schema,
  Stream,
  TestClock
} from "effect"
import { Codec, KtCompat, KtError, KtTransport, Storage } from "effect-kv"
import { readArray, readMap, writeArray, writeMap } from "../src/internal/kt/formats.js"
import { addFixed, type Fixed, fromFixed, readFixed, toFixed } from "../src/internal/kt/numbers.js"
import { describeOn, kinds, memory, sqliteFile } from "./engines.js"

const bytes = (text: string) => new Uint8Array(Buffer.from(text, "latin1"))
const range = (n: number) => Array.from({ length: n }, (_, i) => i)

/** What an effect failed with: its reason, or its tag. A defect is none. */
const refusal = <A, E extends { readonly _tag: string }, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(self), (exit) => {
    if (Exit.isSuccess(exit)) return "nothing"
    if (!Cause.isFailType(exit.cause)) return `a defect: ${Cause.pretty(exit.cause)}`
    const { error } = exit.cause
    return error instanceof KtError.KtError ? error.reason : error._tag
  })

const value = <A>(self: Effect.Effect<Option.Option<A>, KtCompat.Failure>) => Effect.map(self, Option.getOrUndefined)

/** Every method of containers that reads what is there. */
const onContainers = (kt: KtCompat.KtCompat<string, string>, key: string) => {
  const [hash, list, set] = [kt.Hash(key), kt.List(key), kt.Set(key)]
  const maps: Readonly<Record<string, Effect.Effect<unknown, KtCompat.Failure>>> = {
    "Hash.contains": hash.contains("a"),
    "Hash.get": hash.get("a"),
    "Hash.getAll": hash.getAll,
    "Hash.getBulk": hash.getBulk(["a"]),
    "Hash.getRaw": hash.getRaw,
    "Hash.length": hash.length,
    "Hash.pack": hash.pack({ start: "other", stop: "otherwise" }),
    "Hash.packKeys": hash.packKeys("dest"),
    "Hash.packValues": hash.packValues("dest"),
    "Hash.remove": hash.remove("a"),
    "Hash.removeBulk": hash.removeBulk(["a"]),
    "Hash.set": hash.set("a", "1"),
    "Hash.setBulk": hash.setBulk({ a: "1" }),
    "Hash.setnx": hash.setnx("a", "1"),
    "Hash.unpack": hash.unpack({ prefix: "dest" }),
    "Set.add": set.add("a"),
    "Set.contains": set.contains("a"),
    "Set.count": set.count,
    "Set.difference": set.difference("none", "dest"),
    "Set.intersection": kt.Set("none").intersection(key, "dest"),
    "Set.members": set.members,
    "Set.pop": set.pop,
    "Set.remove": set.remove("a"),
    "Set.union": set.union("none", "dest")
  }
  const arrays: Readonly<Record<string, Effect.Effect<unknown, KtCompat.Failure>>> = {
    "List.append": list.append("a"),
    "List.appendLeft": list.appendLeft("a"),
    "List.contains": list.contains("a"),
    "List.extend": list.extend(["a"]),
    "List.find": list.find("a"),
    "List.getRange": list.getRange(),
    "List.getRaw": list.getRaw,
    "List.index": list.index(0),
    "List.insert": list.insert(0, "a"),
    "List.length": list.length,
    "List.lpoprpush": list.lpoprpush("dest"),
    "List.pack": list.pack({ start: "other", stop: "otherwise" }),
    "List.pop": list.pop(0),
    "List.popLeft": list.popLeft,
    "List.popRight": list.popRight,
    "List.remove": list.remove(0),
    "List.removeRange": list.removeRange(),
    "List.rfind": list.rfind("a"),
    "List.rpoplpush to it": kt.List("full").rpoplpush(key),
    "List.rpoplpush": list.rpoplpush(),
    "List.set": list.set(0, "a"),
    "List.unpack": list.unpack({ prefix: "dest" })
  }
  return { arrays, maps }
}

for (const engine of kinds) {
  const on = (databases?: ReadonlyArray<string>) => Layer.provide(KtTransport.layer({ databases }), engine.layer)

  describeOn(engine, "faults of KtCompat", () => {
    it.effect("damaged containers fail, and are as they were", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        yield* kt.List("full").append("kept")
        yield* kt.set("other", "a")
        const damaged: ReadonlyArray<readonly ["maps" | "arrays", Uint8Array]> = [
          ["maps", bytes("\x01")],
          ["maps", bytes("\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01a")],
          ["maps", bytes("\x01\x01ab\x80")],
          ["arrays", bytes("\x05abc")],
          ["arrays", bytes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")]
        ]
        for (const [kind, stored] of damaged) {
          for (const [name, method] of Object.entries(onContainers(kt, "damaged")[kind])) {
            yield* kt.setBytes("damaged", stored, { expireTime: "1 hour" })
            assert.strictEqual(yield* refusal(method), "CorruptContainer", name)
            deepStrictEqual(yield* value(kt.getBytes("damaged")), stored, name)
            assert.strictEqual((yield* kt.expires("damaged"))._tag, "Expires", name)
            assert.isFalse(yield* kt.exists("dest"), name)
          }
        }
        deepStrictEqual(yield* kt.List("full").getRange(), ["kept"])
      }).pipe(Effect.provide(on())))

    it.effect("what is no number is not incremented, and what overflows is as it was", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        for (const text of ["", "1", "1234567", "123456789", "123456789012345", "12345678901234567"]) {
          yield* kt.set("text", text)
          assert.strictEqual(yield* refusal(kt.increment("text")), "NotANumber")
          assert.strictEqual(yield* refusal(kt.increment("text", 0)), "NotANumber")
          assert.strictEqual(yield* refusal(kt.incrementDouble("text")), "NotANumber")
          assert.strictEqual(yield* value(kt.get("text")), text)
        }
        const [most, least] = [2n ** 63n - 1n, -(2n ** 63n)]
        assert.strictEqual(yield* kt.increment("n", most), most)
        assert.strictEqual(yield* refusal(kt.increment("n", 1)), "Overflow")
        assert.strictEqual(yield* kt.increment("n", 0), most)
        assert.strictEqual(yield* kt.increment("n", least), -1n)
        assert.strictEqual(yield* kt.increment("n", most, { orig: "set" }), most)
        assert.strictEqual(yield* kt.increment("m", least), least)
        assert.strictEqual(yield* refusal(kt.increment("m", -1)), "Overflow")
        assert.strictEqual(yield* refusal(kt.increment("m", 2n ** 63n)), "Overflow")
        assert.strictEqual(yield* refusal(kt.increment("new", 1, { orig: most })), "Overflow")
        assert.strictEqual(yield* refusal(kt.increment("new", 1, { orig: 2n ** 64n })), "Overflow")
        assert.strictEqual(yield* refusal(kt.increment("new", 1.5)), "InvalidArgument")
        assert.strictEqual(yield* refusal(kt.increment("new", 2 ** 53)), "InvalidArgument")
        assert.strictEqual(yield* refusal(kt.increment("new", 1, { orig: "try" })), "NoRecord")
        assert.strictEqual(yield* refusal(kt.incrementDouble("new", NaN)), "Overflow")
        assert.strictEqual(yield* refusal(kt.incrementDouble("new", 2 ** 63)), "Overflow")
        assert.strictEqual(yield* refusal(kt.incrementDouble("new", 1, { orig: NaN })), "Overflow")
        assert.isFalse(yield* kt.exists("new"))
        assert.strictEqual(yield* kt.incrementDouble("d", Infinity), Infinity)
        assert.strictEqual(yield* kt.incrementDouble("d", -1e18), Infinity)
        assert.strictEqual(yield* refusal(kt.incrementDouble("d", -Infinity)), "Overflow")
        assert.strictEqual(yield* kt.incrementDouble("d", 0), Infinity)
      }).pipe(Effect.provide(on())))

    it.effect("a database that does not exist is told of by every method", () =>
      Effect.gen(function*() {
        const all = yield* KtCompat.make()
        for (const db of [1, -1, 0.5, NaN, Infinity, "no", "", "__proto__", "length"]) {
          const kt = all.setDatabase(db)
          const methods: ReadonlyArray<Effect.Effect<unknown, KtCompat.Failure>> = [
            kt.get("k"),
            kt.getBulk(["k"]),
            kt.getBulkDetails([[0, "k"], [db, "k"]]),
            kt.set("k", "v"),
            kt.setBulk({ k: "v" }),
            kt.setBulkDetails([{ db: 0, key: "first", value: "v" }, { db, key: "k", value: "v" }]),
            kt.remove("k"),
            kt.removeBulk(["k"]),
            kt.increment("k"),
            kt.touch("k"),
            kt.matchPrefix(""),
            kt.matchRegex("a"),
            kt.matchSimilar("a"),
            Stream.runDrain(kt.keys()),
            Stream.runDrain(kt.items()),
            Effect.scoped(kt.cursor()),
            kt.count(),
            kt.clear(),
            kt.vacuum(),
            kt.synchronize({ hard: true }),
            kt.rawScript("list"),
            kt.Queue("q").add("a"),
            kt.Queue("q").bpop({ timeout: "0 millis" }),
            kt.List("l").length
          ]
          for (const method of methods) assert.strictEqual(yield* refusal(method), "NoDatabase")
        }
        assert.strictEqual(yield* all.count(), 0)
      }).pipe(Effect.provide(on())))

    it.effect("keys and values of any bytes, empty ones and the longest", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.makeBytes({ value: KtCompat.none })
        const keys = [bytes(""), bytes("\0"), bytes("\xff".repeat(2048)), new Uint8Array(range(256)), bytes("a\0b")]
        for (const key of keys) yield* kt.set(key, key)
        for (const key of keys) deepStrictEqual(yield* value(kt.get(key)), key)
        assert.strictEqual(yield* kt.count(), keys.length)
        const text = yield* KtCompat.make()
        const long = "x".repeat(2049)
        const methods: ReadonlyArray<Effect.Effect<unknown, KtCompat.Failure>> = [
          text.get(long),
          text.set(long, ""),
          text.setBulk({ [long]: "", fine: "" }),
          text.getBulk(["fine", long]),
          text.removeBulk(["", long]),
          text.add(long, ""),
          text.increment(long),
          text.seize(long),
          text.touchBulk(["", long]),
          text.matchPrefix(long),
          text.Queue("x".repeat(2040)).add("a"),
          text.Queue("x".repeat(2040)).extend(["a", "b"]),
          text.Schedule("x".repeat(2040)).add("a"),
          text.Hash(long).set("a", "b"),
          text.get("\ud800"),
          text.set("\ud800", "")
        ]
        for (const method of methods) assert.strictEqual(yield* refusal(method), "InvalidKey")
        assert.strictEqual(yield* kt.count(), keys.length)
      }).pipe(Effect.provide(on())))

    it.effect("names that objects have are names like others", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        const names = ["__proto__", "constructor", "toString", "", "db", "table_key", "key", "0", "\0"]
        const hash = kt.Hash("h")
        for (const name of names) yield* hash.set(name, `of ${name}`)
        assert.strictEqual(yield* hash.setBulk(JSON.parse(`{"__proto__": "replaced", "valueOf": "new"}`)), 2)
        assert.strictEqual(yield* hash.length, names.length + 1)
        assert.strictEqual(yield* value(hash.get("__proto__")), "replaced")
        assert.strictEqual(yield* value(hash.get("constructor")), "of constructor")
        assert.strictEqual(yield* value(hash.get("hasOwnProperty")), undefined)
        assert.strictEqual(yield* hash.removeBulk(names), names.length)
        for (const name of names) {
          yield* kt.set(name, name)
          assert.strictEqual(yield* value(kt.get(name)), name)
          assert.strictEqual(yield* refusal(kt.rawScript(name)), "NoProcedure")
          yield* kt.remove(name)
          assert.strictEqual(yield* kt.Queue(name).add(name), 1, name)
          assert.strictEqual(yield* value(kt.Queue(name).pop()), name)
        }
      }).pipe(Effect.provide(on())))

    it.effect("times at the limits", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        const last = DateTime.unsafeMake(8.64e15)
        const lasting: ReadonlyArray<KtCompat.ExpireTime> = [
          last,
          "never",
          "keep",
          KtCompat.expire(1e300),
          KtCompat.expire(-Infinity),
          new Date(8.64e15),
          "100000000 weeks"
        ]
        for (const expireTime of lasting) {
          yield* kt.set("k", "v", { expireTime })
          yield* TestClock.setTime(253_402_300_800_000)
          assert.strictEqual(yield* value(kt.get("k")), "v")
          yield* TestClock.setTime(0)
        }
        const gone: ReadonlyArray<KtCompat.ExpireTime> = [
          DateTime.unsafeMake(-8.64e15),
          new Date(0),
          "0 millis",
          "-5 seconds",
          KtCompat.expire(-5)
        ]
        yield* TestClock.setTime(10_000)
        for (const expireTime of gone) {
          yield* kt.set("k", "v", { expireTime })
          assert.isFalse(yield* kt.exists("k"))
          assert.strictEqual((yield* kt.touch("k", "1 hour"))._tag, "Missing")
        }
        yield* kt.set("k", "v")
        for (const expireTime of [new Date(NaN), KtCompat.expire(NaN)]) {
          assert.strictEqual(yield* refusal(kt.set("k", "w", { expireTime })), "InvalidArgument")
          assert.strictEqual(yield* refusal(kt.touch("k", expireTime)), "InvalidArgument")
        }
        for (const seconds of [NaN, Infinity, -Infinity]) {
          assert.strictEqual(yield* refusal(kt.touchRelative("k", seconds)), "InvalidArgument")
        }
        yield* kt.touch("k", "1 hour")
        yield* kt.touchRelative("k", 1e300)
        assert.strictEqual(yield* value(kt.get("k")), "v")
        yield* kt.touchRelative("k", -1e300)
        assert.isFalse(yield* kt.exists("k"))
      }).pipe(Effect.provide(on())))

    it.effect("numbers that mean nothing", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        const [queue, list, schedule] = [kt.Queue("q"), kt.List("l"), kt.Schedule("s")]
        yield* queue.add("a")
        yield* list.append("a")
        yield* schedule.add("a")
        for (const n of [NaN, Infinity, -Infinity, 0.5, 1e308]) {
          const methods: ReadonlyArray<Effect.Effect<unknown, KtCompat.Failure>> = [
            kt.matchPrefix("", { max: n }),
            kt.matchRegex("a", { max: n }),
            kt.matchSimilar("a", { max: n }),
            kt.matchSimilar("a", { distance: n }),
            queue.popMany(n),
            queue.peekMany(n),
            queue.add("b", { score: n }),
            queue.extend(["b"], { score: n }),
            queue.setPriority("a", n),
            queue.remove("a", { n }),
            queue.transferMany("r", n),
            list.index(n),
            list.set(n, "b"),
            list.insert(n, "b"),
            list.pop(n),
            list.getRange(n),
            list.getRange(0, n),
            list.removeRange(n),
            list.unpack({ start: n }),
            kt.Hash("h").pack({ count: n }),
            schedule.add("b", n),
            schedule.read({ due: n }),
            schedule.read({ n }),
            schedule.items(n)
          ]
          for (const method of methods) assert.strictEqual(yield* refusal(method), "InvalidArgument", String(n))
        }
        for (const n of [-1, -1e9]) {
          assert.strictEqual(yield* refusal(queue.popMany(n)), "InvalidArgument")
          assert.strictEqual(yield* refusal(kt.matchPrefix("", { max: n })), "InvalidArgument")
          assert.strictEqual(yield* refusal(schedule.add("b", n)), "InvalidArgument")
        }
        for (const score of [-500_000_000_000, 500_000_000_001]) {
          assert.strictEqual(yield* refusal(queue.add("b", { score })), "InvalidArgument")
        }
        assert.strictEqual(yield* queue.count, 1)
        assert.strictEqual(yield* list.length, 1)
        assert.strictEqual(yield* schedule.count, 1)
        deepStrictEqual(yield* list.getRange(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER), ["a"])
        assert.strictEqual(yield* value(list.index(Number.MAX_SAFE_INTEGER)), undefined)
      }).pipe(Effect.provide(on())))
  })
}

// PostgreSQL takes both as well, and its client seconds for them.
for (const engine of [sqliteFile, memory]) {
  describeOn(engine, "much of KtCompat", () => {
    it.effect("a value of 32 MB", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make({ value: KtCompat.none })
        const large = new Uint8Array(32 * 2 ** 20).fill(7)
        large[large.length - 1] = 1
        yield* kt.set("large", large)
        assert.strictEqual(yield* value(kt.length("large")), large.length)
        const found = yield* value(kt.seize("large"))
        assert.strictEqual(Buffer.compare(found ?? bytes(""), large), 0)
      }).pipe(Effect.provide(Layer.provide(KtTransport.layer(), engine.layer))))

    it.effect("bulks of 100,000", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        const keys = range(100_000).map((i) => `k${i}`)
        assert.strictEqual(yield* kt.setBulk(new Map(keys.map((key) => [key, key]))), keys.length)
        const found = yield* kt.getBulk(keys)
        assert.strictEqual(found.size, keys.length)
        assert.strictEqual(found.get("k77777"), "k77777")
        assert.strictEqual(yield* kt.removeBulk(keys), keys.length)
        assert.strictEqual(yield* kt.count(), 0)
      }).pipe(Effect.provide(Layer.provide(KtTransport.layer(), engine.layer))))
  })
}

describe("regular expressions of KtCompat", () => {
  it.effect("that do not compile, or would take exponential time elsewhere", () =>
    Effect.gen(function*() {
      const kt = yield* KtCompat.make()
      yield* kt.set("a".repeat(2048), "")
      const wrong = [
        "(",
        "[",
        "[a",
        "a{2",
        "*",
        "a|*b",
        "(*a)",
        "[b-a]",
        "[[:no:]]",
        "a{2,1}",
        "\\",
        "(a)\\1",
        "a{1001}"
      ]
      for (const regex of wrong) assert.strictEqual(yield* refusal(kt.matchRegex(regex)), "InvalidPattern", regex)
      assert.strictEqual(yield* refusal(kt.matchRegex("(".repeat(100_000))), "InvalidPattern")
      for (const regex of ["(a*)*b", "(a|a)*b", "(a|aa)+b$", "(.*)*(.*)*(.*)*b", "^(a?){200}b"]) {
        deepStrictEqual(yield* kt.matchRegex(regex), [], regex)
      }
      assert.strictEqual((yield* kt.matchRegex("")).length, 1)
      assert.strictEqual((yield* kt.error).code, 8)
    }).pipe(Effect.provide(KtTransport.layerMemory)))
})

describe("dictionaries of KtCompat", () => {
  it.effect("of every form are read once, and only what is their own", () =>
    Effect.gen(function*() {
      const kt = yield* KtCompat.make()
      let reads = 0
      function* pairs() {
        reads++
        yield ["a", "1"] as const
        yield ["b", "2"] as const
      }
      class Inherited {
        readonly own = "1"
      }
      Object.assign(Inherited.prototype, { inherited: "2" })
      const setting = kt.setBulk(pairs())
      yield* setting
      yield* kt.clear()
      yield* setting
      assert.strictEqual(reads, 1)
      deepStrictEqual(yield* kt.keysNonlazy(), ["a", "b"])
      yield* kt.setBulk({ ...new Inherited(), 10: "x", 9: "y" })
      deepStrictEqual(yield* kt.keysNonlazy(), ["10", "9", "a", "b", "own"])
      yield* kt.setBulk([["a", "first"], ["a", "last"]])
      assert.strictEqual(yield* value(kt.get("a")), "last")
      assert.strictEqual(yield* kt.setBulk([]), 0)
      assert.strictEqual(yield* kt.setBulk({}), 0)
      assert.strictEqual((yield* kt.getBulk(new Set(["a", "none"]))).size, 1)
      assert.strictEqual(yield* kt.removeBulk(["a", "a"]), 1)
    }).pipe(Effect.provide(KtTransport.layerMemory)))

  it.effect("bytes that were given or taken can be changed without changing what is stored", () =>
    Effect.gen(function*() {
      const kt = yield* KtCompat.makeBytes({ value: KtCompat.none })
      const [key, given] = [bytes("k"), bytes("value")]
      const list = kt.List(bytes("l"))
      const queue = kt.Queue(bytes("q"))
      yield* kt.set(key, given)
      yield* list.extend([given, given])
      yield* queue.add(given)
      given.fill(0)
      key.fill(0)
      const spoil = (found: ReadonlyArray<Uint8Array>) => {
        assert.isAbove(found.length, 0)
        for (const each of found) {
          assert.strictEqual(Buffer.from(each).toString(), "value")
          each.fill(0)
        }
      }
      for (let i = 0; i < 2; i++) {
        spoil(Option.toArray(yield* kt.get(bytes("k"))))
        spoil(Option.toArray(yield* kt.getBytes(bytes("k"))))
        spoil([...(yield* kt.getBulk([bytes("k")])).values()])
        spoil((yield* kt.getBulkDetails([[0, bytes("k")]])).map(({ value }) => value))
        spoil(Chunk.toArray(yield* Stream.runCollect(Stream.take(kt.values(), 1))))
        spoil(Option.getOrThrow(yield* list.getRaw))
        spoil(yield* list.getRange())
        spoil(yield* queue.peekMany(9))
        spoil(
          Chunk.toArray(yield* Stream.runCollect(kt.changes())).flatMap((change) =>
            change._tag === "Set" && Buffer.from(change.key).toString() === "k" ? [change.value] : []
          )
        )
      }
    }).pipe(
      // Not at the epoch: the first change is to be after it.
      (self) => Effect.zipRight(TestClock.setTime(1_000_000), self),
      Effect.provide(KtTransport.layerDatabases(["%"], { updateLog: { serverId: 1 } }))
    ))
})

describe("what cannot be decoded", () => {
  it.effect("goes back to its place in a list", () =>
    Effect.gen(function*() {
      const kt = yield* KtCompat.make()
      const texts = kt.List("l")
      const jsons = kt.withValues(KtCompat.json).List("l")
      for (const index of [-3, -2, -1, 0, 1, 2]) {
        const items = range(3).map((i) => i === (index + 3) % 3 ? "{" : String(i))
        yield* texts.setRaw(items)
        assert.strictEqual(yield* refusal(jsons.pop(index)), "CodecError")
        deepStrictEqual(yield* texts.getRange(), items)
        assert.strictEqual(yield* refusal(jsons.remove(index)), "CodecError")
        deepStrictEqual(yield* texts.getRange(), items)
      }
      yield* texts.setRaw(["{"])
      for (const pop of [jsons.popLeft, jsons.popRight, jsons.pop(0), jsons.pop(-1)]) {
        assert.strictEqual(yield* refusal(pop), "CodecError")
        deepStrictEqual(yield* texts.getRange(), ["{"])
      }
    }).pipe(Effect.provide(KtTransport.layerMemory)))

  it.effect("goes back beside what has its number by then", () =>
    Effect.gen(function*() {
      const go = yield* Deferred.make<void>()
      const texts = (yield* KtCompat.make({ value: Schema.String })).Queue("q")
      const late = Schema.transformOrFail(Schema.String, Schema.Number, {
        decode: (text, _, ast) =>
          Effect.zipRight(Deferred.await(go), Effect.fail(new ParseResult.Type(ast, text, "no number"))),
        encode: (number) => Effect.succeed(String(number)),
        strict: true
      })
      const popped = yield* Effect.fork(Effect.exit((yield* KtCompat.make({ value: late })).Queue("q").bpop()))
      yield* texts.add("old")
      yield* Effect.repeatN(Effect.yieldNow(), 100)
      assert.strictEqual(yield* texts.count, 0)
      yield* texts.clear
      assert.strictEqual(yield* texts.add("new"), 1)
      yield* Deferred.succeed(go, undefined)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(popped)))
      deepStrictEqual([...(yield* texts.peekMany(9))].sort(), ["new", "old"])
    }).pipe(Effect.provide(KtTransport.layerMemory)))

  it.effect("in time is not lost", () =>
    Effect.gen(function*() {
      const slow = Schema.transformOrFail(Schema.String, Schema.String, {
        decode: (text) => Effect.as(Effect.sleep("1 second"), text),
        encode: (text) => Effect.succeed(text),
        strict: true
      })
      const kt = yield* KtCompat.make({ value: slow })
      const [queue, list, set, schedule] = [kt.Queue("q"), kt.List("l"), kt.Set("s"), kt.Schedule("later")]
      yield* queue.extend(["1", "2"])
      yield* list.append("1")
      yield* set.add("1")
      yield* schedule.add("1")
      yield* kt.set("k", "1", { expireTime: "1 hour" })
      const taking: Readonly<Record<string, Effect.Effect<unknown, KtCompat.Failure>>> = {
        "Cursor.seize": Effect.scoped(
          Effect.flatMap(kt.cursor(), (cursor) => Effect.zipRight(cursor.jump("k"), cursor.seize))
        ),
        "List.pop": list.pop(0),
        "List.popLeft": list.popLeft,
        "Queue.bpop": queue.bpop(),
        "Queue.pop": queue.pop(),
        "Queue.popMany": queue.popMany(2),
        "Queue.rpop": queue.rpop(),
        "Schedule.read": schedule.read(),
        "Set.pop": set.pop,
        "seize": kt.seize("k")
      }
      for (const [name, take] of Object.entries(taking)) {
        const fiber = yield* Effect.fork(take)
        yield* TestClock.adjust("100 millis")
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* queue.count, 2, name)
        assert.strictEqual(yield* list.length, 1, name)
        assert.strictEqual(yield* set.count, 1, name)
        assert.strictEqual(yield* schedule.count, 1, name)
        assert.strictEqual((yield* kt.expires("k"))._tag, "Expires", name)
      }
    }).pipe(Effect.provide(KtTransport.layerMemory)))
})

describe("numbers of procedures", () => {
  it.effect("that are infinite are no defects", () =>
    Effect.gen(function*() {
      const kt = yield* KtCompat.make()
      const numbers = ["1e999", "-1e999", `0x${"f".repeat(300)}`, "1e308", "-1e308", "nan", "0.5", ""]
      const calls: ReadonlyArray<readonly [name: string, number: string, rest: Readonly<Record<string, string>>]> = [
        ["queue_add", "score", { data: "x", queue: "q" }],
        ["queue_madd", "score", { 0: "x", queue: "q" }],
        ["queue_pop", "n", { queue: "q" }],
        ["queue_pop", "min_score", { queue: "q" }],
        ["queue_bpop", "min_score", { queue: "q", timeout: "0" }],
        ["queue_set_score", "score", { data: "x", queue: "q" }],
        ["queue_remove", "n", { data: "x", queue: "q" }],
        ["schedule_add", "score", { key: "s", value: "x" }],
        ["schedule_read", "score", { key: "s" }],
        ["schedule_read", "n", { key: "s" }],
        ["lindex", "index", { key: "l" }],
        ["linsert", "index", { key: "l", value: "x" }],
        ["lrange", "start", { key: "l" }],
        ["lrem", "index", { key: "l" }],
        ["lremrange", "start", { key: "l" }],
        ["lunpack", "start", { key: "l" }],
        ["lpack", "count", { key: "l", start: "none" }],
        ["get_part", "start", { key: "l" }],
        ["touch_bulk", "q", {}],
        ["touch_bulk_relative", "q", {}],
        ["_error_code", "flag", {}],
        ["list", "db", {}]
      ]
      for (const [name, parameter, rest] of calls) {
        for (const number of numbers) {
          yield* kt.List("l").extend(["a", "b"])
          const told = yield* refusal(Effect.suspend(() => kt.rawScript(name, { ...rest, [parameter]: number })))
          assert.notInclude(told, "defect", `${name} ${parameter} ${number}`)
        }
      }
    }).pipe(Effect.provide(KtTransport.layerMemory)))

  it.effect("as counters give no number twice", () =>
    Effect.gen(function*() {
      const kt = yield* KtCompat.make()
      const beyond = new Uint8Array(16)
      beyond[1] = 0x20
      for (const counter of [bytes("0123456789abcdef"), beyond, new Uint8Array(16).fill(0xff)]) {
        yield* kt.clear()
        yield* kt.setBytes("q", counter)
        const adding = ["1", "2", "3"].map((item) => Effect.exit(kt.Queue("q").add(item)))
        const added = (yield* Effect.all(adding)).filter(Exit.isSuccess)
        assert.strictEqual(yield* kt.Queue("q").count, added.length)
      }
      yield* kt.incrementDouble("inf", Infinity)
      assert.strictEqual(yield* refusal(Effect.suspend(() => kt.Queue("inf").add("x"))), "NotANumber")
      assert.strictEqual(yield* kt.incrementDouble("inf", 0), Infinity)
    }).pipe(Effect.provide(KtTransport.layerMemory)))

  it.effect("as least scores may be any", () =>
    Effect.gen(function*() {
      const kt = yield* KtCompat.make()
      const queue = kt.Queue("q")
      yield* queue.add("zero")
      yield* queue.add("low", { score: -499_999_999_999 })
      yield* queue.add("high", { score: 500_000_000_000 })
      for (const minScore of [-500_000_000_000, Number.MIN_SAFE_INTEGER, -1e300, -Infinity]) {
        deepStrictEqual(yield* queue.peekMany(9, { minScore }), ["high", "zero", "low"])
      }
      for (const minScore of [500_000_000_001, 1e300, Infinity]) {
        deepStrictEqual(yield* queue.peekMany(9, { minScore }), [])
      }
      deepStrictEqual(yield* queue.peekMany(9, { minScore: -0.5 }), ["high", "zero"])
      deepStrictEqual(yield* queue.peekMany(9, { minScore: 0.5 }), ["high"])
      assert.strictEqual(yield* refusal(queue.pop({ minScore: NaN })), "InvalidArgument")
      const raw = yield* kt.rawScript("queue_peek", { min_score: "-500000000000", n: "9", queue: "q" })
      assert.strictEqual(raw.size, 3)
    }).pipe(Effect.provide(KtTransport.layerMemory)))
})

describe("the update log of KtCompat", () => {
  it.effect("has every change, whatever the time", () =>
    Effect.gen(function*() {
      const kt = yield* KtCompat.make()
      let changes = 0
      for (const time of [0, 1, 18_446_744_073_709, 253_402_300_800_000, 8.64e15]) {
        yield* TestClock.setTime(time)
        yield* kt.setBulk({ a: "1", b: "2", c: "3" })
        yield* kt.set("d", "4")
        changes += 4
        const logged = Chunk.toArray(yield* Stream.runCollect(kt.changes()))
        assert.strictEqual(new Set(logged.map(({ timestamp }) => timestamp)).size, changes)
        const [part] = yield* kt.ulogList
        assert.isTrue(part !== undefined && Option.isSome(part.latest))
      }
    }).pipe(Effect.provide(KtTransport.layerDatabases(["%"], { updateLog: { serverId: 1 } }))))

  it.effect("is not opened with a number that has no place", () =>
    Effect.gen(function*() {
      for (const serverId of [-1, 65_536, 0.5, NaN]) {
        const opening = Layer.build(KtTransport.layerDatabases(["%"], { updateLog: { serverId } }))
        assert.strictEqual(yield* refusal(Effect.scoped(opening)), "InvalidArgument")
      }
    }))
})

describe("cursors of KtCompat", () => {
  it.scoped("stay where they are when the bytes of their key are changed", () =>
    Effect.gen(function*() {
      for (const database of ["%", "*"]) {
        const context = yield* Layer.build(KtTransport.layerDatabases([database]))
        const kt = yield* Effect.provide(KtCompat.makeBytes(), context)
        for (const key of ["a", "b", "c", "d"]) yield* kt.set(bytes(key), key)
        const cursor = yield* kt.cursor()
        const given = bytes("b")
        yield* cursor.jump(given)
        given.fill(0x64)
        assert.strictEqual(yield* value(cursor.value()), "b")
        Option.getOrThrow(yield* cursor.key()).fill(0x64)
        yield* cursor.step
        assert.strictEqual(yield* value(cursor.value()), "c")
      }
    }))

  it.scoped("write nothing that cannot be read again", () =>
    Effect.gen(function*() {
      const sealed = Codec.encrypted(Codec.text, Redacted.make(new Uint8Array(32).fill(1)))
      const kt = yield* KtCompat.make({ value: sealed })
      yield* kt.set("a", "1")
      const cursor = yield* kt.cursor()
      yield* cursor.jump()
      const isSet = Exit.isSuccess(yield* Effect.exit(cursor.setValue("2")))
      assert.strictEqual(yield* value(kt.get("a")), isSet ? "2" : "1")
    }).pipe(Effect.provide(KtTransport.layerMemory)))
})

describe("streams and procedures of KtCompat", () => {
  it.effect("a stream of a queue in a transaction fails or ends, and is no defect", () =>
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const kt = yield* KtCompat.make()
      const told = yield* refusal(storage.transaction(Stream.runDrain(kt.Queue("q").stream())))
      assert.notInclude(told, "defect")
    }).pipe(Effect.provide(Layer.provideMerge(KtTransport.layer(), Storage.layerMemory))))

  it.effect("a procedure works on the database of its call", () =>
    Effect.gen(function*() {
      const kt = yield* KtCompat.make()
      yield* kt.rawScript("put", {}, { db: 1 })
      assert.isFalse(yield* kt.exists("x"))
      assert.isTrue(yield* kt.exists("x", { db: 1 }))
      assert.strictEqual(yield* refusal(kt.rawScript("put", {}, { db: 2 })), "NoDatabase")
    }).pipe(Effect.provide(KtTransport.layerDatabases(["%", "%"], {
      procedures: [KtCompat.procedure("put", (_, kt) => Effect.as(kt.set("x", bytes("1")), {}))]
    }))))
})

describe("raw formats", () => {
  const map = fc.array(fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 300 })), {
    maxLength: 20
  })

  it("are read as they were written", () =>
    fc.assert(fc.property(map, (pairs) => {
      const fields = new Map(pairs.map(([name, value]) => [Buffer.from(name).toString("latin1"), value]))
      deepStrictEqual(
        Array.from(readMap(writeMap(fields)) ?? [], ([name, value]) => [name, ...value]),
        Array.from(fields, ([name, value]) => [name, ...value])
      )
      const items = pairs.map(([name]) => name)
      deepStrictEqual(readArray(writeArray(items))?.map((item) => [...item]), items.map((item) => [...item]))
    })))

  it("never throw, and never make more of bytes than there is", () =>
    fc.assert(
      fc.property(map, fc.uint8Array({ maxLength: 40 }), fc.nat(), fc.nat(255), (pairs, junk, at, byte) => {
        const whole = writeMap(new Map(pairs.map(([name, value]) => [Buffer.from(name).toString("latin1"), value])))
        const mutated = whole.map((original, i) => i === at % Math.max(1, whole.length) ? byte : original)
        for (
          const source of [
            junk,
            mutated,
            whole.subarray(0, at % (whole.length + 1)),
            new Uint8Array([...whole, ...junk])
          ]
        ) {
          const fields = readMap(source)
          const items = readArray(source)
          const size = Array.from(fields ?? [], ([name, value]) => name.length + value.length).reduce(
            (a, b) => a + b,
            0
          )
          assert.isAtMost(size, source.length)
          assert.isAtMost((items ?? []).reduce((sum, item) => sum + item.length, 0), source.length)
          // What is taken for a list is one, to the last byte.
          if (items !== undefined && source.every((byte) => byte < 0x80)) {
            deepStrictEqual([...writeArray(items)], [...source])
          }
        }
      }),
      { numRuns: 500 }
    ))
})

describe("numbers with 15 decimals", () => {
  const unit = 10n ** 15n
  const exact = ({ fraction, whole }: Fixed) => whole * unit + fraction

  it.effect("are exact over thousands of steps, also across zero", () =>
    Effect.gen(function*() {
      const kt = yield* KtCompat.make({ value: KtCompat.none })
      const steps = fc.sample(
        fc.oneof(
          fc.double({ max: 5, min: -5, noNaN: true }),
          fc.integer({ max: 1000, min: -1000 }).map((n) => n / 1000)
        ),
        { numRuns: 3000, seed: 7 }
      )
      let sum = 0n
      let crossings = 0
      for (const step of steps) {
        const by = toFixed(step)
        assert.isDefined(by)
        const before = sum
        sum += exact(by)
        if ((before < 0n) !== (sum < 0n)) crossings++
        const told = yield* kt.incrementDouble("n", step)
        assert.approximately(told, Number(sum) / 1e15, 1e-9)
      }
      assert.isAbove(crossings, 0)
      const stored = readFixed(Option.getOrThrow(yield* kt.get("n")))
      assert.isDefined(stored)
      assert.strictEqual(exact(stored), sum)
      assert.strictEqual(yield* kt.incrementDouble("n", 0), fromFixed(stored))
    }).pipe(Effect.provide(KtTransport.layerMemory)))

  it("add like whole numbers of their smallest part", () =>
    fc.assert(fc.property(
      fc.tuple(fc.bigInt({ max: 10n ** 17n, min: -(10n ** 17n) }), fc.bigInt({ max: unit - 1n, min: 1n - unit })),
      fc.tuple(fc.bigInt({ max: 10n ** 17n, min: -(10n ** 17n) }), fc.bigInt({ max: unit - 1n, min: 1n - unit })),
      ([whole, fraction], [whole2, fraction2]) => {
        const sum = addFixed({ fraction, whole }, { fraction: fraction2, whole: whole2 })
        assert.isDefined(sum)
        assert.strictEqual(exact(sum), exact({ fraction, whole }) + exact({ fraction: fraction2, whole: whole2 }))
        assert.isTrue(sum.fraction < unit && sum.fraction > -unit)
      }
    )))
})
