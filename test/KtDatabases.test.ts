/** Databases by their expressions: in memory, in files, ordered and not. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, HashSet, Layer, Logger, Option, Stream, TestClock } from "effect"
import { KtCompat, KtTransport, Storage, StorageError } from "effect-kv"
import * as fs from "node:fs"
import * as path from "node:path"
import { memory } from "./engines.js"
import { collect, ktError, second, start } from "./ktCompat.js"
import { damage, tempFolder } from "./support.js"

const some = Option.some
const { Persistent } = KtCompat.Expiration

/** With databases by expressions, as long as it runs. */
const within = <A, E, R>(
  expressions: ReadonlyArray<string>,
  use: (kt: KtCompat.KtCompat<string, string>) => Effect.Effect<A, E, R>,
  options?: KtTransport.Options
) => Effect.provide(Effect.flatMap(KtCompat.make(), use), KtTransport.layerDatabases(expressions, options))

/** Expressions of each kind, with the number and the order that the original has for it. */
const kinds: ReadonlyArray<readonly [expression: string, type: number, isOrdered: boolean]> = [
  ["%", 33, true],
  ["+", 17, true],
  ["*", 32, false],
  [":", 24, false],
  ["-", 16, false],
  ["x.kct", 49, true],
  ["x.kcf", 65, true],
  ["x.kch", 48, false],
  ["x.kcd", 64, false],
  ["x.db", 49, true],
  ["x", 49, true],
  ["%#bnum=1000#pccap=64m", 33, true],
  ["x.kch#bnum=1000", 48, false]
]

describe("KtTransport.layerDatabases", () => {
  for (const [expression, type, isOrdered] of kinds) {
    it.scoped(`U60, U79, U80: ${expression} is a database of type ${type}, ${isOrdered ? "ordered" : "unordered"}`, () =>
      Effect.gen(function*() {
        const folder = yield* tempFolder
        const given = expression.startsWith("x") ? path.join(folder, expression) : expression
        yield* within([given], (kt) =>
          Effect.gen(function*() {
            yield* kt.setBulk({ a: "1", b: "2", c: "3" })
            const status = yield* kt.status()
            deepStrictEqual([status.type, status.realtype, status.count], [type, type, 3])
            deepStrictEqual(yield* kt.databases, [given.replace(/#.*/, "")])
            deepStrictEqual(yield* kt.get("b", { db: expression.replace(/#.*/, "") }), some("2"))
            deepStrictEqual([...(yield* kt.matchPrefix(""))].sort(), ["a", "b", "c"])
            deepStrictEqual((yield* collect(kt.items())).map(([key]) => key).sort(), ["a", "b", "c"])
            yield* Effect.scoped(Effect.gen(function*() {
              const cursor = yield* kt.cursor()
              assert.isTrue(yield* cursor.jump("b"))
              deepStrictEqual(yield* cursor.key(), some("b"))
              assert.strictEqual(yield* cursor.jump("bb"), isOrdered)
              if (isOrdered) {
                assert.isTrue(yield* cursor.jumpBack("bb"))
                deepStrictEqual(yield* cursor.key(), some("b"))
                assert.isTrue(yield* cursor.stepBack)
              } else {
                yield* ktError(cursor.jumpBack(), "NotImplemented")
                yield* ktError(cursor.stepBack, "NotImplemented")
              }
            }))
            yield* kt.synchronize({ hard: true })
            yield* kt.clear()
            assert.strictEqual(yield* kt.count(), 0)
          }))
        assert.strictEqual(fs.existsSync(given.replace(/#.*/, "")), expression.startsWith("x"))
      }))
  }

  it.scoped("U6: databases of several kinds, by number, name and path", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const [users, jobs] = [path.join(folder, "users.kct"), path.join(folder, "jobs.kch")]
      yield* within([users, "%", `${jobs}#bnum=7`, "%"], (kt) =>
        Effect.gen(function*() {
          yield* Effect.forEach([0, 1, 2, 3], (db) => kt.set("k", String(db), { db }))
          deepStrictEqual(
            yield* Effect.forEach(["users.kct", users, "jobs.kch", jobs, "%"], (db) => kt.get("k", { db })),
            [some("0"), some("0"), some("2"), some("2"), some("3")],
            "of two with one name the last"
          )
          deepStrictEqual(yield* kt.databases, [users, "%", jobs, "%"])
          yield* ktError(kt.get("k", { db: "jobs" }), "NoDatabase")
          yield* ktError(kt.get("k", { db: 4 }), "NoDatabase")
          const found = yield* kt.getBulkDetails([[3, "k"], ["users.kct", "k"], [1, "k"], [2, "k"]])
          deepStrictEqual(found.map(({ value }) => value), ["3", "0", "1", "2"])
          assert.strictEqual(yield* kt.removeBulkDetails([[0, "k"], [1, "k"], [2, "x"]]), 2)
          deepStrictEqual(yield* Effect.forEach([0, 1, 2, 3], (db) => kt.count({ db })), [0, 0, 1, 1])
        }))
    }))

  it.scoped("U27: what is done in several databases and fails has written to none", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const both = KtCompat.procedure("both", (input, kt) =>
        Effect.gen(function*() {
          yield* Effect.forEach([0, 1, 2], (db) => kt.set("k", new Uint8Array(1), { db }))
          return input.has("fails") ? yield* Effect.fail("no") : {}
        }))
      yield* within(
        [path.join(folder, "a.kct"), "%", path.join(folder, "b.kct")],
        (kt) =>
          Effect.gen(function*() {
            const counts = Effect.forEach([0, 1, 2], (db) => kt.count({ db }))
            yield* ktError(kt.rawScript("both", { fails: "" }), "ProcedureFailed")
            deepStrictEqual(yield* counts, [0, 0, 0])
            yield* kt.rawScript("both")
            deepStrictEqual(yield* counts, [1, 1, 1])
          }),
        { procedures: [both] }
      )
    }))

  it.scoped("a file keeps what was written, with its expiry; memory does not", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const folder = yield* tempFolder
      const expressions = [path.join(folder, "a.kct"), "%", path.join(folder, "b.kch")]
      yield* within(expressions, (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "v", { expireTime: KtCompat.expire(60) })
          yield* kt.set("k", "w", { db: 1 })
          yield* kt.increment("n", 5, { db: 2 })
          yield* kt.Queue("q").extend(["x", "y"])
          yield* kt.Queue("q").pop()
        }))
      yield* within(expressions, (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* kt.get("k"), some("v"))
          deepStrictEqual(yield* kt.expireTime("k"), some(second + 60))
          deepStrictEqual(yield* kt.Queue("q").pop(), some("y"))
          assert.strictEqual(yield* kt.Queue("q").add("z"), 3)
          assert.strictEqual(yield* kt.count({ db: 1 }), 0)
          assert.strictEqual(yield* kt.increment("n", 0, { db: 2 }), 5n)
          yield* kt.synchronize({ hard: true })
        }))
      assert.deepEqual(yield* damage(path.join(folder, "a.kct")), [])
    }))

  it.scoped("a file is opened by two at once, and each sees what the other writes", () =>
    Effect.gen(function*() {
      const file = path.join(yield* tempFolder, "a.kct")
      yield* within([file], (one) =>
        within([file], (other) =>
          Effect.gen(function*() {
            yield* one.set("k", "1")
            deepStrictEqual(yield* other.get("k"), some("1"))
            yield* Effect.all(
              Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? one : other).increment("n")),
              { concurrency: "unbounded" }
            )
            assert.strictEqual(yield* one.increment("n", 0), 20n)
          })))
    }))

  it.scoped("ktopts=p: nothing expires, whatever is said", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const file = path.join(yield* tempFolder, "a.kct#bnum=9#ktopts=p")
      for (const expression of ["%#ktopts=p", file, "*#ktopts=tp"]) {
        yield* within(["%", expression], (every) =>
          Effect.gen(function*() {
            const kt = every.setDatabase(1)
            const expireTime = "1 second"
            yield* kt.set("set", "v", { expireTime })
            yield* kt.set("past", "v", { expireTime: KtCompat.expire(-5) })
            yield* kt.setBulk({ setBulk: "v" }, { expireTime })
            yield* kt.setBulkDetails([{ db: 1, expireTime, key: "details", value: "v" }])
            yield* kt.add("add", "v", { expireTime })
            yield* kt.append("add", "w", { expireTime })
            yield* kt.increment("n", 1, { expireTime })
            yield* kt.cas("cas", Option.none(), some("v"), { expireTime })
            deepStrictEqual(yield* kt.touch("set", expireTime), Persistent())
            deepStrictEqual(yield* kt.touchRelative("set", -5), Persistent())
            yield* kt.rawScript("touch_bulk", { add: "1" })
            yield* every.set("k", "v", { expireTime })
            const before = yield* kt.keysNonlazy()
            yield* TestClock.adjust("1 hour")
            yield* kt.vacuum()
            deepStrictEqual(yield* kt.keysNonlazy(), before)
            assert.strictEqual(before.length, 7)
            for (const key of before) deepStrictEqual(yield* kt.expires(key), Persistent(), key)
            assert.strictEqual(yield* every.count(), 0, "the other does as ever")
          }))
      }
    }))

  it.scoped("bounds are not kept, and that is told", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ message }) => void told.push(String(message)))
      )
      const expressions = ["*#ktcapcnt=5#bnum=3", "%#capsiz=10m#capcnt=1", "%#bnum=3"]
      yield* Effect.provide(
        within(expressions, (kt) =>
          Effect.gen(function*() {
            yield* kt.setBulk(Array.from({ length: 300 }, (_, i) => [`k${i}`, ""] as const))
            assert.strictEqual(yield* kt.count(), 300)
          })),
        logger
      )
      assert.strictEqual(told.length, 2)
      assert.include(told[0], "ktcapcnt=5")
      assert.include(told[1], "capsiz=10m")
    }))

  it.scoped("what names no database is refused, and what cannot be opened too", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      for (const expression of ["", "#bnum=1", "/", `${folder}/`]) {
        yield* ktError(within([expression], () => Effect.void), "InvalidArgument")
        yield* ktError(within(["%", expression], () => Effect.void), "InvalidArgument")
        yield* ktError(
          Effect.provide(
            Effect.void,
            Layer.build(Layer.provide(KtTransport.layer({ databases: [expression] }), memory.layer)).pipe(
              Layer.effectDiscard
            )
          ),
          "InvalidArgument"
        )
      }
      const text = path.join(folder, "text.kct")
      fs.writeFileSync(text, "this is a text and no database, and long enough to be looked at. ".repeat(40))
      for (const filename of [folder, path.join(text, "a.kct"), text]) {
        const error = yield* Effect.flip(within([filename], (kt) => kt.count()))
        assert.instanceOf(error, StorageError.StorageError, filename)
      }
      assert.include(fs.readFileSync(text, "utf8"), "this is a text")
    }))

  it.scoped("one that is another by its path alone, and none at all, are refused", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const file = path.join(folder, "a.kct")
      for (const names of [[], [file, file], [file, path.join(folder, ".", "b", "..", "a.kct")]]) {
        const error = yield* Effect.flip(Layer.build(KtTransport.layerDatabases(names)))
        assert.strictEqual(error._tag === "KtError" ? error.reason : error._tag, "InvalidArgument")
      }
    }))

  it.scoped("U83, U84: the update log of a file goes on where it was", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const file = path.join(yield* tempFolder, "a.kct")
      const options = { updateLog: { serverId: 65_535 } }
      yield* within([file], (kt) => kt.setBulk({ a: "1", b: "2" }), options)
      yield* within([file], (kt) => kt.set("unlogged", ""))
      yield* within(
        [file],
        (kt) =>
          Effect.gen(function*() {
            yield* kt.set("c", "3")
            const changes = yield* collect(kt.changes())
            const first = BigInt(start) * 1_000_000n
            deepStrictEqual(
              changes.map((change) => [change.serverId, change.timestamp - first, change._tag]),
              [[65_535, 0n, "Set"], [65_535, 1n, "Set"], [65_535, 2n, "Set"]]
            )
            assert.strictEqual(yield* kt.count(), 4)
          }),
        options
      )
    }))

  it.effect("U83: in memory, several databases have one log", () =>
    within(["%", "*"], (kt) =>
      Effect.gen(function*() {
        yield* TestClock.setTime(start)
        yield* kt.set("a", "1", { db: 1 })
        yield* kt.set("b", "2")
        yield* kt.set("c", "3", { db: 1 })
        deepStrictEqual(
          yield* Stream.runCollect(kt.changes()).pipe(Effect.map((all) => Array.from(all, ({ database }) => database))),
          [1, 0, 1]
        )
        assert.strictEqual((yield* kt.ulogList).length, 1)
      }), { updateLog: { serverId: 1 } }))

  it.scoped("U84: changes of several storages have times of their own, and none is missed by who reads on", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const file = path.join(yield* tempFolder, "a.kct")
      yield* within(["%", file], (kt) =>
        Effect.gen(function*() {
          yield* kt.setBulk({ a: "1", b: "2" })
          yield* kt.set("c", "3", { db: 1 })
          const before = yield* collect(kt.changes())
          yield* kt.set("d", "4")
          yield* kt.set("e", "5", { db: 1 })
          const since = before.at(-1)?.timestamp
          deepStrictEqual((yield* collect(kt.changes({ since }))).map(({ database }) => database), [0, 1])
          const all = yield* collect(kt.changes())
          assert.strictEqual(new Set(all.map(({ timestamp }) => timestamp)).size, 5)
        }), { updateLog: { serverId: 1 } })
    }))

  it.effect("U84: the first change is seen, also at the epoch, and what does not expire is logged so", () =>
    within(["%#ktopts=p"], (kt) =>
      Effect.gen(function*() {
        yield* kt.set("k", "v", { expireTime: "1 second" })
        const [change, ...others] = yield* collect(kt.changes())
        deepStrictEqual(others, [])
        assert(change?._tag === "Set")
        assert.isUndefined(change.expiresAt)
      }), { updateLog: { serverId: 1 } }))

  it.effect("U84: a number of a server that is none is refused", () =>
    Effect.forEach(
      [-1, 65_536, 1.5, NaN],
      (serverId) => ktError(within(["%"], () => Effect.void, { updateLog: { serverId } }), "InvalidArgument")
    ))
})

describe("KtTransport.layer", () => {
  it.effect("takes only the beginning and the ending of a name for its kind", () =>
    Effect.forEach(["cache*", "a:", "b-", "c%", "d+", "e.kch.db"], (name) =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        assert.strictEqual((yield* kt.status()).type, 49, name)
      }).pipe(Effect.provide(Layer.provide(KtTransport.layer({ databases: [name] }), memory.layer)))))

  it.effect("has its databases in the Storage of the context, beside what else is there", () =>
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const other = yield* storage.keyspace("a")
      yield* other.set("k", "mine")
      const names = ["a", "b/c.kch", "x y"]
      const open = <A, E>(use: (kt: KtCompat.KtCompat<string, string>) => Effect.Effect<A, E>) =>
        Effect.provide(Effect.flatMap(KtCompat.make(), use), KtTransport.layer({ databases: names }))
      yield* open((kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "0")
          yield* kt.set("k", "1", { db: "c.kch" })
          deepStrictEqual(yield* kt.databases, names)
          deepStrictEqual([yield* kt.count(), yield* kt.count({ db: 2 })], [1, 0])
          yield* ktError(
            Effect.scoped(Effect.flatMap(kt.cursor({ db: 1 }), (cursor) => cursor.jumpBack())),
            "NotImplemented"
          )
        })
      )
      // Opened again, in another order: they are known by their names.
      yield* Effect.provide(
        Effect.flatMap(KtCompat.make(), (kt) =>
          Effect.gen(function*() {
            deepStrictEqual(yield* kt.get("k"), some("1"))
            deepStrictEqual(yield* kt.get("k", { db: 1 }), some("0"))
          })),
        KtTransport.layer({ databases: ["b/c.kch", "a"] })
      )
      assert.strictEqual(Option.getOrThrow(yield* other.get("k")).value, "mine")
      const keyspaces = HashSet.fromIterable((yield* storage.maintenance.keyspaces).map(({ name }) => name))
      assert.isTrue(HashSet.has(keyspaces, "a"))
    }).pipe(Effect.provide(memory.layer)))

  it.effect("has one database if none are named", () =>
    Effect.gen(function*() {
      const kt = yield* KtCompat.make()
      yield* kt.set("k", "v", { db: "kt" })
      deepStrictEqual(yield* kt.get("k"), some("v"))
      deepStrictEqual(yield* kt.databases, ["kt"])
    }).pipe(Effect.provide(Layer.provide(KtTransport.layer(), memory.layer))))
})
