/** What KtCompat promises of databases as wholes, of procedures and of conditions. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Duration, Effect, Exit, Fiber, Layer, Option, Stream, TestClock } from "effect"
import { KtCompat, KtError, KtTransport } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { bytes, collect, databases, failsWith, ktError, latin1, start, testOn } from "../ktCompat.js"

const none = Option.none()
const some = Option.some

class Suffix extends Context.Tag("test/Suffix")<Suffix, string>() {}

const boom = new Error("boom")

/** Procedures of a program's own. */
const vote = KtCompat.procedure("vote", (input, kt) =>
  Effect.gen(function*() {
    const option = latin1(input.get("option") ?? new Uint8Array(0))
    const votes = yield* kt.increment(`votes/${option}`)
    yield* kt.increment("votes")
    if (option === "bad") return yield* Effect.fail(boom)
    if (option === "defect") return yield* Effect.die(boom)
    if (option === "throws") throw boom
    return { bytes: bytes("ü"), float: 1.5, int: 7, no: undefined, text: "é", votes, yes: true }
  }))
const echo = KtCompat.procedure("echo", (input) => Effect.succeed(Object.fromEntries(input)))
const throwing = KtCompat.procedure("throwing", (): Effect.Effect<KtCompat.Answer> => {
  throw boom
})
const refusing = KtCompat.procedure(
  "refusing",
  (_, kt) => Effect.as(Effect.zipRight(kt.set("k", bytes("1")), kt.increment("k")), {})
)
const longKey = KtCompat.procedure(
  "longKey",
  (_, kt) => Effect.as(Effect.zipRight(kt.set("k", bytes("1")), kt.get("k".repeat(2049))), {})
)
const crossing = KtCompat.procedure("crossing", (input, kt) =>
  Effect.gen(function*() {
    yield* kt.set("k", bytes("a"))
    yield* kt.set("k", bytes("b"), { db: "b" })
    yield* kt.List("l", { db: 1 }).append(bytes("x"))
    const fails = input.has("fails")
    return fails ? yield* Effect.fail("asked to") : { count: yield* kt.count({ db: 1 }) }
  }))
const outer = KtCompat.procedure("outer", (input, kt) =>
  Effect.gen(function*() {
    const inner = yield* Effect.either(kt.script("vote", { option: input.get("option") ?? bytes("tea") }))
    yield* kt.set("outer", bytes(inner._tag))
    return { inner: inner._tag }
  }))
const ownMove = KtCompat.procedure("move", (input) => Effect.succeed({ own: input.size }))
const suffixed = KtCompat.procedure(
  "suffixed",
  (input) => Effect.map(Suffix, (suffix) => ({ text: latin1(input.get("text") ?? new Uint8Array(0)) + suffix }))
)
const waiting = KtCompat.procedure("waiting", (_, kt) => Effect.zipRight(kt.set("k", bytes("1")), Effect.never))

const procedures = [vote, echo, throwing, refusing, longKey, crossing, outer]

const text = (all: ReadonlyMap<string, Uint8Array>) => new Map([...all].map(([name, value]) => [name, latin1(value)]))

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat administration", () => {
    const test = testOn(engine)
    const withProcedures = testOn(engine, { procedures })

    describe("databases as wholes", () => {
      test("U63, U64: count and size are of what lives, in bytes of keys and values", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual([yield* kt.count(), yield* kt.size()], [0, 0])
          yield* kt.setBulk({ a: "", é: "123" })
          yield* kt.set("dead", "x", { expireTime: "1 second" })
          deepStrictEqual([yield* kt.count(), yield* kt.size()], [3, 1 + 5 + 5])
          yield* TestClock.adjust("1 second")
          deepStrictEqual([yield* kt.count(), yield* kt.size()], [2, 6])
          deepStrictEqual([yield* kt.count({ db: 1 }), yield* kt.size({ db: 1 })], [0, 0])
        }))

      test("U65, U66, U67: keys, values and items as streams, in order", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* collect(kt.items()), [])
          deepStrictEqual(yield* kt.keysNonlazy(), [])
          const entries = Array.from({ length: 1500 }, (_, i) => [`k${String(i).padStart(5, "0")}`, String(i)] as const)
          yield* kt.setBulk(entries.toReversed())
          deepStrictEqual(yield* collect(kt.items()), entries)
          deepStrictEqual(yield* collect(kt.keys()), entries.map(([key]) => key))
          deepStrictEqual(yield* collect(kt.values()), entries.map(([, value]) => value))
          deepStrictEqual(yield* kt.keysNonlazy(), entries.map(([key]) => key))
          deepStrictEqual(yield* collect(Stream.take(kt.keys(), 2)), ["k00000", "k00001"])
        }))

      test("U65: what is there throughout is seen once while others write", (kt) =>
        Effect.gen(function*() {
          const keys = Array.from({ length: 1200 }, (_, i) => `k${String(i).padStart(5, "0")}`)
          yield* kt.setBulk(keys.map((key) => [key, ""] as const))
          const seen = yield* collect(Stream.mapEffect(
            Stream.zipWithIndex(kt.keys()),
            ([key, i]) =>
              i % 100 === 0
                ? Effect.as(Effect.zipRight(kt.set(`a${i}`, ""), kt.set(`z${i}`, "")), key)
                : Effect.succeed(key)
          ))
          const wanted = new Set(keys)
          deepStrictEqual(seen.filter((key) => wanted.has(key)), keys)
        }))

      test("U80: clear empties one database", (kt) =>
        Effect.gen(function*() {
          yield* kt.setBulk({ a: "1", b: "2" })
          yield* kt.set("a", "3", { db: 1 })
          yield* kt.clear()
          assert.strictEqual(yield* kt.count(), 0)
          deepStrictEqual(yield* kt.keysNonlazy({ db: 1 }), ["a"])
          yield* kt.clear()
          yield* kt.set("a", "4")
          deepStrictEqual(yield* kt.get("a"), some("4"))
        }))

      test("U79: status and the list of databases", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "value", { db: 1 })
          const status = yield* kt.status({ db: "b" })
          for (
            const [name, value] of Object.entries({
              count: 1,
              ktcapcnt: -1,
              ktcapsiz: -1,
              path: "b",
              size: 6,
              type: 49
            })
          ) assert.strictEqual(status[name], value, name)
          for (const name of ["ktopts", "realtype"]) assert.isDefined(status[name], name)
          deepStrictEqual(yield* kt.databases, ["a", "b"])
          const list = yield* kt.listDatabases
          deepStrictEqual(list.map(([path, { count }]) => [path, count]), [["a", 0], ["b", 1]])
          assert.strictEqual((yield* kt.status()).path, "a")
        }))

      test("U78: report tells of the databases, of the process and of what was done", (kt) =>
        Effect.gen(function*() {
          yield* kt.setBulk({ a: "1", b: "22" })
          yield* kt.set("c", "", { db: 1 })
          yield* kt.get("a")
          yield* kt.get("missing")
          yield* kt.remove("missing")
          yield* kt.add("a", "2")
          yield* kt.rawScript("list")
          const report = yield* kt.report
          const expected = {
            cnt_get: 2,
            cnt_get_misses: 1,
            cnt_remove: 1,
            cnt_remove_misses: 1,
            cnt_script: 1,
            cnt_set: 4,
            cnt_set_misses: 1,
            db_0: "count=2 size=5 path=a",
            db_1: "count=1 size=1 path=b",
            db_total_count: 3,
            db_total_size: 6,
            serv_current_time: start / 1000,
            serv_proc_id: process.pid
          }
          for (const [name, value] of Object.entries(expected)) assert.strictEqual(report[name], value, name)
          for (const name of ["serv_running_term", "sys_mem_rss", "sys_ru_stime", "sys_ru_utime"]) {
            assert.isNumber(report[name], name)
          }
          assert.isString(report.conf_os_name)
        }))

      test("U81, U82: synchronize, and vacuum, which frees what is expired and nothing else", (kt) =>
        Effect.gen(function*() {
          const many = Array.from({ length: 600 }, (_, i) => [`k${i}`, "v"] as const)
          yield* kt.setBulk(many, { expireTime: "1 second" })
          yield* kt.set("live", "v")
          yield* kt.synchronize()
          yield* kt.synchronize({ db: 1, hard: true })
          yield* TestClock.adjust("1 second")
          yield* kt.vacuum()
          yield* kt.vacuum({ db: "b" })
          deepStrictEqual(yield* kt.keysNonlazy(), ["live"])
          // What is freed does not come back, wherever the clock goes.
          yield* TestClock.setTime(start)
          deepStrictEqual(yield* kt.keysNonlazy(), ["live"])
        }))
    })

    describe("procedures", () => {
      withProcedures("U75, U76: one's own, with values of the serializer, or raw", (kt) =>
        Effect.gen(function*() {
          const expected = { bytes: "ü", float: "1.5", int: "7", text: "é", votes: "1", yes: "true" }
          deepStrictEqual(yield* kt.script("vote", { option: "tea" }), new Map(Object.entries(expected)))
          const raw = yield* kt.rawScript("vote", { option: bytes("tea") })
          assert.strictEqual(latin1(raw.get("votes") ?? new Uint8Array(0)), "2")
          deepStrictEqual(raw.get("bytes"), bytes("ü"))
          assert.strictEqual(yield* kt.increment("votes", 0), 2n)
          const json = kt.withValues(KtCompat.json)
          deepStrictEqual(
            yield* json.script("echo", new Map<string, unknown>([["name", [1]], ["key", { a: null }], ["", ""]])),
            new Map<string, unknown>([["name", [1]], ["key", { a: null }], ["", ""]])
          )
          deepStrictEqual(yield* kt.script("echo"), new Map())
          yield* failsWith(json.script("vote", { option: "tea" }), "CodecError")
          yield* failsWith(json.script("echo", { a: 1n }), "CodecError")
        }))

      withProcedures("U75: one that fails, dies or throws has written nothing, and its cause is told", (kt) =>
        Effect.gen(function*() {
          for (const option of ["bad", "defect", "throws"]) {
            const error = yield* ktError(kt.script("vote", { option }), "ProcedureFailed")
            assert.strictEqual(error.cause, boom)
            assert.strictEqual(error.method, "vote")
            assert.include(error.message, "boom")
          }
          assert.strictEqual((yield* ktError(kt.rawScript("throwing"), "ProcedureFailed")).cause, boom)
          yield* ktError(kt.rawScript("refusing"), "NotANumber")
          yield* failsWith(kt.rawScript("longKey"), "InvalidKey")
          yield* ktError(kt.rawScript("crossing", { fails: "" }), "ProcedureFailed")
          assert.strictEqual(yield* kt.count(), 0)
          assert.strictEqual(yield* kt.count({ db: 1 }), 0)
          assert.notStrictEqual((yield* kt.error).code, 0)
        }))

      withProcedures("U75: it is one transaction over all databases", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(text(yield* kt.rawScript("crossing")), new Map([["count", "2"]]))
          deepStrictEqual(yield* kt.get("k"), some("a"))
          deepStrictEqual(yield* kt.get("k", { db: 1 }), some("b"))
          deepStrictEqual(yield* kt.setDatabase(1).List("l").getRange(), ["x"])
        }))

      withProcedures("U9, U75: its client is of the database that the caller says", (kt) =>
        Effect.gen(function*() {
          yield* kt.script("vote", { option: "tea" }, { db: "b" })
          yield* kt.setDatabase(1).script("vote", { option: "tea" })
          yield* kt.rawScript("vote", { db: "1", option: "tea" })
          assert.strictEqual(yield* kt.increment("votes/tea", 0, { db: 1 }), 3n)
          assert.strictEqual(yield* kt.count(), 0)
          yield* ktError(kt.script("vote", { option: "tea" }, { db: 2 }), "NoDatabase")
        }))

      withProcedures("U75: one may call another, which is undone alone if it fails", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* kt.script("outer", { option: "tea" }), new Map([["inner", "Right"]]))
          assert.strictEqual(yield* kt.increment("votes", 0), 1n)
          deepStrictEqual(yield* kt.script("outer", { option: "bad" }), new Map([["inner", "Left"]]))
          assert.strictEqual(yield* kt.increment("votes", 0), 1n)
          deepStrictEqual(yield* kt.get("outer"), some("Left"))
          assert.isFalse(yield* kt.exists("votes/bad"))
        }))

      withProcedures("U75: many at once lose nothing", (kt) =>
        Effect.gen(function*() {
          yield* Effect.all(
            Array.from({ length: 8 }, () =>
              kt.script("vote", { option: "tea" })),
            {
              concurrency: "unbounded"
            }
          )
          assert.strictEqual(yield* kt.increment("votes", 0), 8n)
          assert.strictEqual(yield* kt.increment("votes/tea", 0), 8n)
        }))

      it.effect("U75: one cannot have the name of a built-in one, which containers use", () =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(Layer.build(KtTransport.layerDatabases(["%"], { procedures: [ownMove] })))
          assert.strictEqual(error._tag === "KtError" ? error.reason : error._tag, "InvalidArgument")
          assert.include(error.message, "move")
        }).pipe(Effect.scoped))

      test("U75: one that is not there", (kt) =>
        Effect.gen(function*() {
          for (const name of ["nothing", "", "toString", "__proto__", "LIST"]) {
            const error = yield* ktError(kt.rawScript(name), "NoProcedure")
            assert.strictEqual(error.method, name)
            yield* ktError(kt.script(name), "NoProcedure")
          }
        }))

      it.effect("U75: what it needs is provided where the databases are opened", () =>
        Effect.gen(function*() {
          const kt = yield* KtCompat.make()
          deepStrictEqual(yield* kt.script("suffixed", { text: "a" }), new Map([["text", "a!"]]))
        }).pipe(
          Effect.provide(
            Layer.provide(
              Layer.unwrapEffect(
                Effect.map(Effect.context<Suffix>(), (context) =>
                  databases(engine, {
                    procedures: [{
                      ...suffixed,
                      run: (...args) =>
                        Effect.provide(suffixed.run(...args), context)
                    }]
                  }))
              ),
              Layer.succeed(Suffix, "!")
            )
          )
        ))

      testOn(engine, { procedures: [waiting] })("U75: one that is interrupted has written nothing", (kt) =>
        Effect.gen(function*() {
          const running = yield* Effect.fork(kt.rawScript("waiting"))
          yield* engine.turns
          yield* Fiber.interrupt(running)
          assert.isFalse(yield* kt.exists("k"))
          yield* kt.set("k", "2")
        }))

      test("U77: the original's, on records", (kt) =>
        Effect.gen(function*() {
          yield* kt.setBulk({ a: "0123456789", b: "2", c: "3" }, { expireTime: KtCompat.expire(60) })
          const call = (name: string, data?: Record<string, string>) =>
            Effect.map(kt.rawScript(name, data), text)
          deepStrictEqual(yield* call("list"), new Map([["a", "0123456789"], ["b", "2"], ["c", "3"]]))
          deepStrictEqual(yield* call("get_range", { start: "b", stop: "c" }), new Map([["b", "2"], ["c", "3"]]))
          deepStrictEqual(yield* call("get_range", { stop: "b" }), new Map([["a", "0123456789"], ["b", "2"]]))
          const part = (given: Record<string, string>) =>
            Effect.map(call("get_part", { key: "a", ...given }), (answer) =>
              answer.get("value"))
          assert.strictEqual(yield* part({}), "0123456789")
          assert.strictEqual(yield* part({ start: "2", stop: "4" }), "23")
          assert.strictEqual(yield* part({ start: "-3" }), "789")
          assert.strictEqual(yield* part({ start: "-3", stop: "-1" }), "78")
          assert.strictEqual(yield* part({ start: "-99", stop: "2" }), "01")
          assert.strictEqual(yield* part({ start: "7", stop: "3" }), "")
          deepStrictEqual(yield* call("get_part", { key: "missing" }), new Map())
          deepStrictEqual(yield* call("hash", { fn: "fnv", str: "abc" }), new Map([["hash", "101813348627779"]]))
          deepStrictEqual(yield* call("hash", { fn: "murmur", str: "xyz" }), new Map([["hash", "206717289890284"]]))
          const before = yield* kt.expires("a")
          deepStrictEqual(yield* call("move", { dest: "z", src: "a" }), new Map())
          deepStrictEqual(yield* kt.expires("z"), before)
          deepStrictEqual(yield* call("move", { dest: "z", src: "z" }), new Map())
          yield* ktError(call("move", { dest: "y", src: "missing" }), "InvalidArgument")
          yield* ktError(call("move", { src: "z" }), "InvalidArgument")
          deepStrictEqual(yield* kt.keysNonlazy(), ["b", "c", "z"])
        }))

      test("U77: the original's, on expire times", (kt) =>
        Effect.gen(function*() {
          const never = "1099511627775"
          const [now, call] = [Math.floor(start / 1000), (name: string, data?: Record<string, string>) =>
            Effect.map(kt.rawScript(name, data), text)] as const
          yield* kt.setBulk({ a: "1", b: "2" })
          deepStrictEqual(yield* call("expire_time", { key: "a" }), new Map([["xt", never]]))
          deepStrictEqual(yield* call("expire_time", { key: "missing" }), new Map())
          deepStrictEqual(
            yield* call("touch_bulk", { a: "60", b: "-2000000000", missing: "1" }),
            new Map([["a", never], ["b", never]])
          )
          deepStrictEqual(yield* call("expire_time", { key: "a" }), new Map([["xt", String(now + 60)]]))
          deepStrictEqual(yield* call("touch_bulk", { a: "junk" }), new Map([["a", String(now + 60)]]))
          deepStrictEqual(
            yield* call("touch_bulk_relative", { a: "5", b: "-7" }),
            new Map([["a", String(now + 65)], ["b", "1999999993"]])
          )
          deepStrictEqual(yield* call("expire_time", { key: "b" }), new Map([["xt", "1999999993"]]))
          yield* kt.touch("a")
          deepStrictEqual(yield* call("touch_bulk_relative", { a: "5" }), new Map([["a", "1099511627780"]]))
          deepStrictEqual(yield* kt.expires("a"), KtCompat.Expiration.Persistent())
        }))

      test("U77: the original's, of triples", (kt) =>
        Effect.gen(function*() {
          const triple = (s: string, p: string, o: string) => ({ o, p, s })
          const call = (name: string, data: Record<string, string>) =>
            Effect.map(kt.rawScript(name, data), text)
          yield* call("hx_add", triple("ada", "likes", "tea"))
          yield* call("hx_add", triple("ada", "likes", "cats"))
          yield* call("hx_add", triple("bob", "likes", "tea"))
          assert.strictEqual(yield* kt.count(), 9)
          deepStrictEqual(yield* kt.matchPrefix("spo::ada"), ["spo::ada::likes::cats", "spo::ada::likes::tea"])
          deepStrictEqual(yield* call("hx_query", triple("ada", "likes", "tea")), new Map([["0", ""]]))
          deepStrictEqual(yield* call("hx_query", triple("bob", "likes", "cats")), new Map())
          deepStrictEqual(
            yield* call("hx_query", { o: "tea", p: "likes" }),
            new Map([["s0", "ada"], ["s1", "bob"]])
          )
          deepStrictEqual(
            yield* call("hx_query", { s: "ada" }),
            new Map([["p0", "likes"], ["o0", "cats"], ["p1", "likes"], ["o1", "tea"]])
          )
          yield* ktError(call("hx_query", {}), "InvalidArgument")
          yield* call("hx_remove", triple("ada", "likes", "tea"))
          assert.strictEqual(yield* kt.count(), 6)
        }))

      test("U9, U77: the database of a procedure, also as the parameter `db`", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "1", { db: 1 })
          deepStrictEqual(text(yield* kt.rawScript("list", {}, { db: "b" })), new Map([["k", "1"]]))
          deepStrictEqual(text(yield* kt.rawScript("list", { db: "1" })), new Map([["k", "1"]]))
          deepStrictEqual(text(yield* kt.setDatabase(1).rawScript("list")), new Map([["k", "1"]]))
          yield* ktError(kt.rawScript("list", { db: "7" }), "NoDatabase")
          yield* ktError(kt.rawScript("list", { db: "junk" }), "NoDatabase")
        }))

      test("U85: _error_code and get_error", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* kt.rawScript("_error_code", { flag: "0" }), new Map())
          deepStrictEqual(yield* kt.rawScript("_error_code", { flag: "12" }), new Map())
          for (let flag = 1; flag <= 11; flag++) {
            const error = yield* Effect.flip(kt.rawScript("_error_code", { flag: String(flag) }))
            assert.instanceOf(error, KtError.KtError)
          }
          deepStrictEqual([...(yield* kt.rawScript("get_error")).keys()], ["code", "message"])
        }))
    })

    describe("U86: conditions", () => {
      test("a signal wakes the one who has waited longest, or all, and tells how many there were", (kt) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* kt.signal("c"), 0)
          const order: Array<number> = []
          const waiters = yield* Effect.forEach([0, 1, 2, 3], (i) =>
            Effect.fork(Effect.tap(kt.wait("c"), () =>
              Effect.sync(() => void order.push(i)))))
          yield* engine.turns
          assert.strictEqual(yield* kt.signal("other"), 0)
          assert.strictEqual(yield* kt.signal("c"), 4)
          yield* engine.turns
          deepStrictEqual(order, [0])
          assert.strictEqual(yield* kt.signal("c"), 3)
          yield* engine.turns
          deepStrictEqual(order, [0, 1])
          assert.strictEqual(yield* kt.signal("c", { all: true }), 2)
          deepStrictEqual(yield* Fiber.join(Fiber.all(waiters)), [true, true, true, true])
          assert.strictEqual(yield* kt.signal("c", { all: true }), 0)
        }))

      test("a wait ends after its time, 30 seconds by default, and a signal before it is lost", (kt) =>
        Effect.gen(function*() {
          yield* kt.signal("c")
          const waiter = yield* Effect.fork(kt.wait("c"))
          const short = yield* Effect.fork(kt.wait("c", "1 second"))
          yield* engine.turns
          yield* TestClock.adjust("999 millis")
          assert.isTrue(Option.isNone(yield* Fiber.poll(short)))
          yield* TestClock.adjust("1 millis")
          assert.isFalse(yield* Fiber.join(short))
          yield* TestClock.adjust("28999 millis")
          assert.isTrue(Option.isNone(yield* Fiber.poll(waiter)))
          yield* TestClock.adjust("1 millis")
          assert.isFalse(yield* Fiber.join(waiter))
          assert.strictEqual(yield* kt.signal("c"), 0, "they wait no more")
          assert.isFalse(yield* kt.wait("c", "0 millis"))
          yield* ktError(kt.wait("c", "soon" as unknown as "1 second"), "InvalidArgument")
        }))

      test("one who is interrupted waits no more; one without an end is woken", (kt) =>
        Effect.gen(function*() {
          const gone = yield* Effect.fork(kt.wait("c"))
          const patient = yield* Effect.fork(kt.wait("c", Duration.infinity))
          yield* engine.turns
          yield* Fiber.interrupt(gone)
          yield* TestClock.adjust("365 days")
          assert.strictEqual(yield* kt.signal("c"), 1)
          deepStrictEqual(yield* Fiber.await(patient), Exit.succeed(true))
          const nameless = yield* Effect.fork(kt.wait(""))
          yield* engine.turns
          assert.strictEqual(yield* kt.signal("", { all: true }), 1)
          assert.isTrue(yield* Fiber.join(nameless))
        }))
    })

    test("U83, U84: without an update log there is none to ask", (kt) =>
      Effect.gen(function*() {
        yield* ktError(kt.ulogList, "NotImplemented")
        yield* ktError(kt.ulogRemove(), "NotImplemented")
        yield* ktError(collect(kt.changes()), "NotImplemented")
        deepStrictEqual(yield* kt.get("k"), none)
      }))
  })
