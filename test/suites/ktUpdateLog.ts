/** What KtCompat promises of the update log. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { DateTime, Effect, Fiber, Option, Stream, TestClock } from "effect"
import { KtCompat, KtTransport, Storage } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { bytes, collect, failsWith, hex, ktError, latin1, second, start, testOn, unhex } from "../ktCompat.js"

const some = Option.some

/** The first timestamp of a test, in nanoseconds. */
const first = BigInt(start) * 1_000_000n

/** A change in a few words: what, the database, the key, the value and the expiry. */
const brief = (change: KtTransport.Change): string => {
  switch (change._tag) {
    case "Set":
      return `set ${change.database} ${latin1(change.key)}=${latin1(change.value)}${
        change.expiresAt === undefined ? "" : ` until ${change.expiresAt}`
      }`
    case "Remove":
      return `remove ${change.database} ${latin1(change.key)}`
    case "Clear":
      return `clear ${change.database}`
  }
}

const failing = KtCompat.procedure("failing", (input, kt) =>
  Effect.gen(function*() {
    yield* kt.set("p", bytes("1"))
    yield* kt.set("q", bytes("2"), { db: 1 })
    return input.has("fails") ? yield* Effect.fail("no") : {}
  }))

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat update log", () => {
    const test = testOn(engine, { procedures: [failing], updateLog: { serverId: 7 } })
    type Client = KtCompat.KtCompat<string, string>
    const briefly = (kt: Client, since?: DateTime.DateTime | bigint) =>
      Effect.map(collect(kt.changes({ since })), (all) => all.map(brief))

    /** What an effect has logged, in a few words. */
    const logs = <A, E>(kt: Client, self: Effect.Effect<A, E>) =>
      Effect.gen(function*() {
        const before = (yield* collect(kt.changes())).at(-1)?.timestamp ?? 0n
        yield* self
        return yield* briefly(kt, before)
      })

    describe("U84: what is logged", () => {
      test("each write with the value and the expiry that the record then has", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "", { db: 1 })
          const writes: ReadonlyArray<readonly [Effect.Effect<unknown, KtCompat.Failure>, ReadonlyArray<string>]> = [
            [kt.set("k", "a"), ["set 0 k=a"]],
            [kt.set("k", "a"), ["set 0 k=a"]],
            [kt.append("k", "b", { expireTime: KtCompat.expire(9) }), [`set 0 k=ab until ${(second + 10) * 1000}`]],
            [kt.append("k", "c"), [`set 0 k=abc until ${(second + 10) * 1000}`]],
            [kt.replace("k", "d"), ["set 0 k=d"]],
            [kt.cas("k", some("d"), some("e")), ["set 0 k=e"]],
            [kt.touch("k", KtCompat.expire(5)), [`set 0 k=e until ${(second + 6) * 1000}`]],
            [kt.touchRelative("k", 1), [`set 0 k=e until ${(second + 7) * 1000}`]],
            [kt.touchBulk(["k", "missing"]), ["set 0 k=e"]],
            [kt.cas("k", some("e"), Option.none()), ["remove 0 k"]],
            [kt.add("k", "f", { db: 1 }), []],
            [kt.add("n", "f", { db: 1 }), ["set 1 n=f"]],
            [kt.setBytes("k", unhex("00ff")), ["set 0 k=\0\xff"]],
            [kt.increment("i", 0x41), ["set 0 i=\0\0\0\0\0\0\0A"]],
            [kt.incrementDouble("d", 1), ["set 0 d=\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0"]],
            [kt.setBulk([["y", "1"], ["x", "2"]]), ["set 0 y=1", "set 0 x=2"]],
            [kt.setBulkDetails([{ db: 1, key: "z", value: "3" }]), ["set 1 z=3"]],
            [kt.withValues(KtCompat.none).seize("k"), ["remove 0 k"]],
            [kt.remove("x"), ["remove 0 x"]],
            [kt.remove("x"), ["remove 0 x"]],
            [kt.removeBulk(["y", "missing"]), ["remove 0 y", "remove 0 missing"]],
            [kt.removeBulkDetails([[1, "z"]]), ["remove 1 z"]],
            [kt.clear(), ["clear 0"]],
            [kt.clear({ db: 1 }), ["clear 1"]],
            [kt.clear(), ["clear 0"]]
          ]
          for (const [i, [write, expected]] of writes.entries()) {
            deepStrictEqual(yield* logs(kt, write), expected, `write ${i}`)
          }
        }))

      test("nothing where nothing was written", (kt) =>
        Effect.gen(function*() {
          yield* kt.setBulk({ k: "v", n: "12345678" })
          yield* kt.set("dead", "v", { expireTime: "1 second" })
          yield* TestClock.adjust("1 second")
          const reads: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
            kt.add("k", "w"),
            kt.replace("missing", "w"),
            kt.cas("k", some("w"), some("x")),
            kt.cas("k", Option.none(), some("x")),
            kt.increment("n", 0),
            kt.seize("missing"),
            kt.pop("dead"),
            kt.touch("missing", "1 second"),
            kt.touch("k", "keep"),
            kt.touchRelative("k", 0),
            kt.get("k"),
            kt.getBulk(["k", "dead"]),
            kt.exists("k"),
            kt.expires("k"),
            kt.matchPrefix(""),
            kt.matchRegex("k"),
            collect(kt.items()),
            kt.status(),
            kt.report,
            kt.vacuum(),
            kt.synchronize(),
            kt.setBulk({}),
            kt.removeBulk([]),
            ktError(kt.increment("k"), "NotANumber"),
            failsWith(kt.set("k".repeat(2049), "v"), "InvalidKey"),
            failsWith(kt.setBulk([["a", "1"], ["k".repeat(2049), "v"]]), "InvalidKey"),
            kt.Hash("h").getAll,
            kt.List("l").getRange(),
            kt.Queue("q").pop(),
            kt.signal("c")
          ]
          for (const [i, read] of reads.entries()) deepStrictEqual(yield* logs(kt, read), [], `read ${i}`)
        }))

      test("containers, cursors and procedures too", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* logs(kt, kt.Hash("h").set("f", "1")), ["set 0 h=\x01\x01f1"])
          deepStrictEqual(yield* logs(kt, kt.List("l").extend(["a", "b"])), ["set 0 l=\x01a\x01b"])
          deepStrictEqual(yield* logs(kt, kt.Set("s").add("m")), ["set 0 s=\x01\0m"])
          const queue = kt.Queue("q")
          deepStrictEqual(yield* logs(kt, queue.add("x")), [
            "set 0 q=\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0",
            "set 0 q\t500000000000000000000001=x"
          ])
          deepStrictEqual(yield* logs(kt, queue.pop()), ["remove 0 q\t500000000000000000000001"])
          deepStrictEqual(
            yield* logs(
              kt,
              Effect.scoped(Effect.gen(function*() {
                const cursor = yield* kt.cursor()
                yield* cursor.jump("s")
                yield* cursor.setValue("w")
                yield* cursor.remove
              }))
            ),
            ["set 0 s=w", "remove 0 s"]
          )
          deepStrictEqual(yield* logs(kt, kt.rawScript("move", { dest: "m", src: "l" })), [
            "set 0 m=\x01a\x01b",
            "remove 0 l"
          ])
          deepStrictEqual(yield* logs(kt, kt.rawScript("failing")), ["set 0 p=1", "set 1 q=2"])
        }))

      test("nothing of what was rolled back", (kt) =>
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          deepStrictEqual(
            yield* logs(kt, Effect.flip(kt.rawScript("failing", { fails: "" }))),
            []
          )
          deepStrictEqual(
            yield* logs(
              kt,
              Effect.flip(storage.transaction(Effect.zipRight(kt.set("k", "v"), Effect.fail("no"))))
            ),
            []
          )
          deepStrictEqual(
            yield* logs(
              kt,
              storage.transaction(Effect.zipRight(
                Effect.ignore(storage.transaction(Effect.zipRight(kt.set("k", "v"), Effect.fail("no")))),
                kt.set("l", "w")
              ))
            ),
            ["set 0 l=w"]
          )
        }))

      test("its bytes are those of the original", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "v")
          yield* kt.set("é", "", { db: 1, expireTime: KtCompat.expire(-0x12345678) })
          yield* kt.setBytes("x".repeat(128), new Uint8Array(123).fill(0x61))
          yield* kt.remove("k", { db: "b" })
          yield* kt.clear()
          const log = yield* (yield* Storage.Storage).keyspace("kt:ulog", { keys: "bytes" })
          const entries = yield* collect(log.entries())
          const timestamp = (i: number) => (first + BigInt(i)).toString(16).padStart(16, "0")
          deepStrictEqual(
            entries.map(({ expiresAt, key, value }) => {
              assert.isUndefined(expiresAt)
              assert(typeof value !== "string")
              return [hex(key), hex(value)]
            }),
            [
              [timestamp(0), "00070000a1" + "01" + "06" + "6b" + "ffffffffff" + "76"],
              [timestamp(1), "00070001a1" + "02" + "05" + "c3a9" + "0012345678"],
              [timestamp(2), "00070000a1" + "8100" + "8100" + "78".repeat(128) + "ffffffffff" + "61".repeat(123)],
              [timestamp(3), "00070001a2" + "01" + "6b"],
              [timestamp(4), "00070000a5"]
            ]
          )
          const changes = yield* collect(kt.changes())
          deepStrictEqual(changes.map(({ serverId, timestamp }) => [serverId, timestamp]), [
            [7, first],
            [7, first + 1n],
            [7, first + 2n],
            [7, first + 3n],
            [7, first + 4n]
          ])
          const [, written] = changes
          assert(written?._tag === "Set")
          deepStrictEqual(written.key, bytes("é"))
          deepStrictEqual(written.value, new Uint8Array(0))
          assert.strictEqual(written.expiresAt, (0x12345678 + 1) * 1000)
        }))

      test("keys that are empty, and values that are long", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("", "")
          yield* kt.set("k", "x".repeat(100_000))
          yield* kt.remove("")
          const [empty, long, removed] = yield* collect(kt.changes())
          assert(empty?._tag === "Set" && long?._tag === "Set" && removed?._tag === "Remove")
          deepStrictEqual([empty.key.length, empty.value.length, long.value.length, removed.key.length], [0, 0, 1e5, 0])
        }))
    })

    describe("U84: timestamps", () => {
      test("are strictly increasing, also if the clock stands still or goes back", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("a", "1")
          yield* kt.setBulk({ b: "2", c: "3" })
          yield* TestClock.setTime(start - 5000)
          yield* kt.set("d", "4")
          yield* TestClock.setTime(start + 1000)
          yield* kt.set("e", "5")
          deepStrictEqual((yield* collect(kt.changes())).map(({ timestamp }) => timestamp - first), [
            0n,
            1n,
            2n,
            3n,
            1_000_000_000n
          ])
        }))

      test("are of each change its own, of many at once too", (kt) =>
        Effect.gen(function*() {
          yield* Effect.all(
            Array.from(
              { length: 12 },
              (_, i) =>
                i % 3 === 0 ? kt.increment("n") : i % 3 === 1 ? kt.set(`k${i}`, "v") : kt.setBulk({ x: "1", y: "2" })
            ),
            { concurrency: "unbounded" }
          )
          const changes = yield* collect(kt.changes())
          assert.strictEqual(changes.length, 16)
          assert.strictEqual(new Set(changes.map(({ timestamp }) => timestamp)).size, 16)
          const counts = changes.flatMap((change) =>
            change._tag === "Set" && latin1(change.key) === "n" ? [change.value.at(-1)] : []
          )
          deepStrictEqual(counts, [1, 2, 3, 4], "in the order in which they were made")
        }))
    })

    describe("U84: changes", () => {
      test("since a time or a change, which are not among them", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("a", "1")
          yield* kt.set("b", "2")
          yield* TestClock.adjust("1 second")
          yield* kt.set("c", "3")
          const all = ["set 0 a=1", "set 0 b=2", "set 0 c=3"]
          deepStrictEqual(yield* briefly(kt), all)
          deepStrictEqual(yield* briefly(kt, first), all.slice(1))
          deepStrictEqual(yield* briefly(kt, first - 1n), all)
          deepStrictEqual(yield* briefly(kt, DateTime.unsafeMake(start)), all.slice(1))
          deepStrictEqual(yield* briefly(kt, DateTime.unsafeMake(start - 1)), all)
          deepStrictEqual(yield* briefly(kt, DateTime.unsafeMake(start + 1)), all.slice(2))
          deepStrictEqual(yield* briefly(kt, DateTime.unsafeMake(start + 1000)), [])
          deepStrictEqual(yield* briefly(kt, -5n), all)
          deepStrictEqual(yield* briefly(kt, 2n ** 70n), [])
        }))

      test("of more than one page", (kt) =>
        Effect.gen(function*() {
          const many = Array.from({ length: 700 }, (_, i) => [`k${i}`, String(i)] as const)
          yield* kt.setBulk(many)
          deepStrictEqual(yield* briefly(kt), many.map(([key, value]) => `set 0 ${key}=${value}`))
          deepStrictEqual((yield* briefly(kt, first + 255n)).length, 444)
        }))

      test("that are made from now on, with `follow`", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("a", "1")
          const following = yield* Effect.fork(collect(Stream.take(kt.changes({ follow: true }), 4)))
          yield* engine.turns
          yield* kt.set("b", "2")
          yield* TestClock.adjust("100 millis")
          yield* engine.turns
          yield* kt.setBulk({ c: "3", d: "4" })
          let result = yield* Fiber.poll(following)
          for (let i = 0; i < 20 && Option.isNone(result); i++) {
            yield* TestClock.adjust("100 millis")
            yield* engine.turns
            result = yield* Fiber.poll(following)
          }
          deepStrictEqual((yield* Fiber.join(following)).map(brief), [
            "set 0 a=1",
            "set 0 b=2",
            "set 0 c=3",
            "set 0 d=4"
          ])
        }))

      test("written again elsewhere, they make the same databases", (kt) =>
        Effect.gen(function*() {
          yield* kt.setBulk({ a: "1", b: "2", c: "3" }, { expireTime: KtCompat.expire(60) })
          yield* kt.append("a", "+")
          yield* kt.remove("b")
          yield* kt.clear({ db: 1 })
          yield* kt.increment("n", 5)
          yield* kt.List("l").extend(["x", "y"])
          yield* kt.touch("c")
          yield* Effect.gen(function*() {
            const copy = yield* KtCompat.makeBytes({ value: KtCompat.none })
            for (const change of yield* collect(kt.changes())) {
              if (change.database !== 0) continue
              if (change._tag === "Set") {
                yield* copy.set(change.key, change.value, {
                  expireTime: change.expiresAt === undefined ? "never" : new Date(change.expiresAt)
                })
              } else if (change._tag === "Remove") yield* copy.remove(change.key)
              else yield* copy.clear()
            }
            const all = <K extends KtCompat.Key>(client: KtCompat.KtCompat<K, Uint8Array>) =>
              Effect.gen(function*() {
                const items = yield* collect(client.items())
                return yield* Effect.forEach(items, ([key, value]) =>
                  Effect.map(client.expires(key), (expires) => [Buffer.from(key).toString(), hex(value), expires]))
              })
            deepStrictEqual(yield* all(copy), yield* all(kt.withValues(KtCompat.none)))
            assert.strictEqual(yield* copy.count(), 4)
          }).pipe(Effect.provide(KtTransport.layerMemory))
        }))
    })

    describe("U83: the files of the log", () => {
      test("are listed with their bytes and their last time, and pruned, but for the last change", (kt) =>
        Effect.gen(function*() {
          const [empty, ...others] = yield* kt.ulogList
          deepStrictEqual(others, [])
          assert.strictEqual(empty?.bytes, 0)
          deepStrictEqual(empty.latest, Option.none())
          for (const key of ["a", "b", "c", "d"]) {
            yield* kt.set(key, "v")
            yield* TestClock.adjust("1 second")
          }
          const latest = Effect.map(kt.ulogList, ([file]) =>
            Option.map(file?.latest ?? Option.none(), (at) =>
              at.epochMillis))
          const [full] = yield* kt.ulogList
          assert.strictEqual(full?.bytes, 4 * (8 + 5 + 2 + 1 + 5 + 1))
          assert.isString(full.path)
          deepStrictEqual(yield* latest, some(start + 3000))
          yield* kt.ulogRemove(DateTime.unsafeMake(start - 1))
          deepStrictEqual((yield* briefly(kt)).length, 4)
          yield* kt.ulogRemove(DateTime.unsafeMake(start + 1000))
          deepStrictEqual(yield* briefly(kt), ["set 0 c=v", "set 0 d=v"])
          yield* kt.ulogRemove()
          deepStrictEqual(yield* briefly(kt), ["set 0 d=v"])
          yield* kt.ulogRemove()
          deepStrictEqual(yield* latest, some(start + 3000))
          yield* TestClock.setTime(start)
          yield* kt.set("e", "v")
          deepStrictEqual(yield* briefly(kt, BigInt(start + 3000) * 1_000_000n), ["set 0 e=v"])
          deepStrictEqual(yield* kt.keysNonlazy(), ["a", "b", "c", "d", "e"])
        }))
    })
  })
