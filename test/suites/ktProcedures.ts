/** The built-in procedures, as `rawScript` calls them: what they answer is what the original does. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect } from "effect"
import { KtCompat } from "effect-kv"
import { describeOn, type Engine, memory } from "../engines.js"
import {
  answers,
  expiresAt,
  ktError,
  nothing,
  ordinals,
  raw,
  some,
  start,
  stored,
  testOn,
  type Text
} from "../ktContainers.js"

/** What each procedure has to be given. */
const required: Record<string, ReadonlyArray<string>> = {
  expire_time: ["key"],
  get_part: ["key"],
  hash: ["str"],
  hcontains: ["table_key", "key"],
  hdel: ["table_key", "key"],
  hget: ["table_key", "key"],
  hgetall: ["table_key"],
  hlen: ["table_key"],
  hmdel: ["table_key"],
  hmget: ["table_key"],
  hmset: ["table_key"],
  hpack: ["table_key"],
  hpackkeys: ["table_key", "key"],
  hpackvalues: ["table_key", "key"],
  hset: ["table_key", "key", "value"],
  hsetnx: ["table_key", "key", "value"],
  hunpack: ["table_key"],
  hx_add: ["s", "p", "o"],
  hx_remove: ["s", "p", "o"],
  lextend: ["key"],
  lfind: ["key", "value"],
  lindex: ["key"],
  linsert: ["key", "index", "value"],
  llen: ["key"],
  llpop: ["key"],
  llpoprpush: ["key", "dest"],
  llpush: ["key", "value"],
  lpack: ["key"],
  lrange: ["key"],
  lrem: ["key"],
  lremrange: ["key"],
  lrfind: ["key", "value"],
  lrpop: ["key"],
  lrpoplpush: ["key", "dest"],
  lrpush: ["key", "value"],
  lset: ["key", "value"],
  lunpack: ["key"],
  move: ["src", "dest"],
  queue_add: ["queue", "data"],
  queue_bpop: ["queue"],
  queue_clear: ["queue"],
  queue_madd: ["queue"],
  queue_peek: ["queue"],
  queue_pop: ["queue"],
  queue_remove: ["queue", "data"],
  queue_rpeek: ["queue"],
  queue_rpop: ["queue"],
  queue_rremove: ["queue", "data"],
  queue_set_score: ["queue", "data", "score"],
  queue_size: ["queue"],
  queue_transfer: ["queue", "dest"],
  sadd: ["key"],
  scard: ["key"],
  schedule_add: ["key", "value"],
  schedule_read: ["key"],
  sdiff: ["key", "key2"],
  sinter: ["key", "key2"],
  sismember: ["key", "value"],
  smembers: ["key"],
  spop: ["key"],
  srem: ["key"],
  sunion: ["key", "key2"]
}

export const suite = (engine: Engine) =>
  describeOn(engine, "procedures of KtCompat", () => {
    const test = testOn(engine)

    describe("calls", () => {
      test("what is needed and not given is refused, whatever else is, and nothing is written", (kt) =>
        Effect.gen(function*() {
          for (const [name, parameters] of Object.entries(required)) {
            for (const missing of parameters) {
              const given = parameters.filter((parameter) => parameter !== missing)
              yield* ktError(raw(kt, name, Object.fromEntries(given.map((name) => [name, "1"]))), "InvalidArgument")
            }
          }
          yield* ktError(raw(kt, "hx_query"), "InvalidArgument")
          yield* ktError(raw(kt, "no_such_procedure"), "NoProcedure")
          yield* ktError(raw(kt, "constructor"), "NoProcedure")
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("what is empty is given", (kt) =>
        Effect.gen(function*() {
          for (const [name, parameters] of Object.entries(required)) {
            // The source of a move has to be there, and a queue is not transferred to itself.
            if (name === "move" || name === "queue_transfer") continue
            const given = Object.fromEntries(parameters.map((parameter) => [parameter, ""]))
            yield* raw(kt, name, name === "queue_bpop" ? { ...given, timeout: "0" } : given)
            yield* kt.clear()
          }
        }))

      test("db among the data is the database, as a number; one that is none is refused", (kt) =>
        Effect.gen(function*() {
          for (const db of ["1", " 1 ", "0x1", "1e0", "1.0"]) {
            yield* answers(kt, "hmset", { a: "1", db, table_key: "h" }, { num: "1" })
            assert.strictEqual(yield* stored(kt, "h", 1), "01016131", db)
            yield* kt.clear({ db: 1 })
          }
          yield* answers(kt, "sadd", { 0: "a", db: "1", key: "s" }, { num: "1" }, { db: 0 })
          yield* answers(kt, "scard", { key: "s" }, { num: "1" }, { db: 1 })
          yield* answers(kt, "scard", { db: "0", key: "s" }, { num: "0" }, { db: 1 })
          for (const db of ["2", "-1", "0.5", "", "junk"]) {
            yield* ktError(raw(kt, "hmset", { a: "1", db, table_key: "h" }), "NoDatabase")
          }
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("fields, members and keys that are called like parameters are taken for those", (kt) =>
        Effect.gen(function*() {
          yield* answers(kt, "hmset", { db: "1", key: "k", table_key: "h", value: "v" }, { num: "2" })
          yield* answers(kt, "hgetall", { db: "1", table_key: "h" }, { key: "k", value: "v" })
          yield* answers(kt, "sadd", { a: "1", db: "1", key: "s", table_key: "t" }, { num: "2" })
          yield* answers(kt, "smembers", { db: "1", key: "s" }, { 0: "1", 1: "t" })
          yield* kt.set("db", "a record")
          yield* answers(kt, "touch_bulk", { db: "1", s: "60" }, { s: "1099511627775" })
          yield* answers(kt, "touch_bulk", { db: "0" }, {})
          yield* expiresAt(kt, "db", undefined)
        }))

      test("script gives and answers values of the serializer", (kt) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* kt.script("hmset", { a: "é", table_key: "h" }), new Map([["num", "1"]]))
          deepStrictEqual(yield* kt.script("hgetall", { table_key: "h" }), new Map([["a", "é"]]))
          yield* answers(kt, "hgetall", { table_key: "h" }, { a: "\u00c3\u00a9" })
          const json = kt.withValues(KtCompat.json)
          deepStrictEqual(yield* json.script("sadd", { 0: [1], key: "k" }), new Map([["num", 1]]))
          deepStrictEqual(yield* json.script("smembers", { key: "k" }), new Map([["0", [1]]]))
          assert.strictEqual(yield* stored(kt, "\"k\""), "03005b315d")
        }))
    })

    describe("hashes", () => {
      test("hmset, hmget, hmdel and hgetall", (kt) =>
        Effect.gen(function*() {
          const h = { table_key: "h" }
          yield* answers(kt, "hgetall", h, {})
          yield* answers(kt, "hmget", { ...h, a: "" }, {})
          nothing(yield* kt.getBytes("h"))
          yield* answers(kt, "hmset", h, { num: "0" })
          assert.strictEqual(yield* stored(kt, "h"), "")
          yield* answers(kt, "hmset", { ...h, a: "1", b: "" }, { num: "2" })
          yield* answers(kt, "hmset", { ...h, b: "2", c: "3" }, { num: "2" })
          yield* answers(kt, "hmget", { ...h, a: "", c: "", x: "" }, { a: "1", c: "3" })
          yield* answers(kt, "hmdel", { ...h, a: "", x: "" }, { num: "1" })
          yield* answers(kt, "hgetall", h, { b: "2", c: "3" })
          assert.strictEqual(yield* stored(kt, "h"), "0101623201016333")
          yield* answers(kt, "hmdel", { a: "", table_key: "new" }, { num: "0" })
          assert.strictEqual(yield* stored(kt, "new"), "")
        }))

      test("hset, hsetnx, hget, hdel, hlen and hcontains", (kt) =>
        Effect.gen(function*() {
          const field = { key: "a", table_key: "h" }
          yield* answers(kt, "hget", field, {})
          yield* answers(kt, "hlen", field, { num: "0" })
          yield* answers(kt, "hcontains", field, { num: "0" })
          nothing(yield* kt.getBytes("h"))
          yield* answers(kt, "hset", { ...field, value: "1" }, { num: "1" })
          yield* answers(kt, "hset", { ...field, value: "2" }, { num: "1" })
          yield* answers(kt, "hsetnx", { ...field, value: "3" }, { num: "0" })
          yield* answers(kt, "hsetnx", { ...field, key: "b", value: "" }, { num: "1" })
          yield* answers(kt, "hget", field, { value: "2" })
          yield* answers(kt, "hget", { ...field, key: "b" }, { value: "" })
          yield* answers(kt, "hlen", field, { num: "2" })
          yield* answers(kt, "hcontains", field, { num: "1" })
          yield* answers(kt, "hdel", field, { num: "1" })
          yield* answers(kt, "hdel", field, { num: "0" })
          assert.strictEqual(yield* stored(kt, "h"), "010062")
          yield* answers(kt, "hdel", { key: "a", table_key: "new" }, { num: "0" })
          assert.strictEqual(yield* stored(kt, "new"), "")
        }))

      test("hunpack, hpack, hpackkeys and hpackvalues", (kt) =>
        Effect.gen(function*() {
          yield* answers(kt, "hpack", { table_key: "h" }, { num: "0" })
          yield* answers(kt, "hpackkeys", { key: "l", table_key: "h" }, { num: "0" })
          yield* answers(kt, "hunpack", { table_key: "h" }, { num: "0" })
          assert.strictEqual(yield* kt.count(), 0)
          yield* answers(kt, "hmset", { a: "1", b: "2", table_key: "h" }, { num: "2" })
          yield* answers(kt, "hunpack", { table_key: "h" }, { num: "2" })
          yield* answers(kt, "hunpack", { prefix: "", table_key: "h" }, { num: "2" })
          deepStrictEqual(yield* kt.matchPrefix(""), ["a", "b", "h", "h:a", "h:b"])
          yield* answers(kt, "hpackkeys", { key: "keys", table_key: "h" }, { num: "2" })
          assert.strictEqual(yield* stored(kt, "keys"), "01610162")
          yield* answers(kt, "hpackvalues", { key: "keys", table_key: "h" }, { num: "2" })
          assert.strictEqual(yield* stored(kt, "keys"), "01310132")
          yield* kt.remove("keys")
          yield* answers(kt, "hpack", { start: "b", stop: "h:a", table_key: "bb" }, { num: "2" })
          yield* answers(kt, "hgetall", { table_key: "bb" }, { b: "2", h: "\x01\x01a1\x01\x01b2" })
          // Its own record is within the range.
          yield* answers(kt, "hpack", { count: "2", start: "b", table_key: "bb" }, { num: "2" })
          yield* answers(kt, "hlen", { table_key: "bb" }, { num: "3" })
          assert.include(yield* raw(kt, "hgetall", { table_key: "bb" }), { b: "2" })
          assert.containsAllKeys(yield* raw(kt, "hgetall", { table_key: "bb" }), ["b", "bb", "h"])
          yield* answers(kt, "hpack", { count: "junk", stop: "b", table_key: "new" }, { num: "1" })
        }))
    })

    describe("sets", () => {
      test("sadd, scard, sismember, smembers, spop and srem", (kt) =>
        Effect.gen(function*() {
          const s = { key: "s" }
          yield* answers(kt, "sadd", s, { num: "0" })
          yield* answers(kt, "spop", s, { num: "0" })
          yield* answers(kt, "srem", { ...s, 0: "a" }, { num: "0" })
          yield* answers(kt, "smembers", s, {})
          nothing(yield* kt.getBytes("s"))
          yield* answers(kt, "sadd", { ...s, any: "a", names: "b", will: "a" }, { num: "2" })
          yield* answers(kt, "sadd", { ...s, 0: "b", 1: "" }, { num: "1" })
          yield* answers(kt, "scard", s, { num: "3" })
          yield* answers(kt, "sismember", { ...s, value: "" }, { num: "1" })
          yield* answers(kt, "sismember", { ...s, value: "x" }, { num: "0" })
          deepStrictEqual(Object.values(yield* raw(kt, "smembers", s)).sort(), ["", "a", "b"])
          yield* answers(kt, "srem", { ...s, x: "", y: "a", z: "a" }, { num: "2" })
          yield* answers(kt, "smembers", s, { 0: "b" })
          yield* answers(kt, "spop", s, { num: "1", value: "b" })
          yield* answers(kt, "spop", s, { num: "0" })
          assert.strictEqual(yield* stored(kt, "s"), "")
        }))

      test("sinter, sunion and sdiff, and where their result goes", (kt) =>
        Effect.gen(function*() {
          yield* answers(kt, "sadd", { 0: "1", 1: "2", key: "a" }, { num: "2" })
          yield* answers(kt, "sadd", { 0: "2", key: "b" }, { num: "1" })
          yield* answers(kt, "sinter", { key: "a", key2: "b" }, { 0: "2" })
          yield* answers(kt, "sdiff", { key: "a", key2: "b" }, { 0: "1" })
          deepStrictEqual(Object.values(yield* raw(kt, "sunion", { key: "a", key2: "b" })).sort(), ["1", "2"])
          yield* answers(kt, "sdiff", { dest: "d", key: "a", key2: "b" }, { 0: "1" })
          assert.strictEqual(yield* stored(kt, "d"), "010031")
          yield* answers(kt, "sdiff", { dest: "d", key: "b", key2: "a" }, {})
          assert.strictEqual(yield* stored(kt, "d"), "")
        }))
    })

    describe("lists", () => {
      const letters = ["a", "b", "c", "d", "e"]
      const indexes = [undefined, ...Array.from({ length: 15 }, (_, i) => i - 7)]
      const filled = (kt: Text, items: ReadonlyArray<string>) => kt.List("l").setRaw(items)
      const range = (start: number | undefined, stop: number | undefined): Record<string, string> => ({
        ...(start === undefined ? {} : { start: `${start}` }),
        ...(stop === undefined ? {} : { stop: `${stop}` })
      })
      /** Every list, start and stop; some of them where each takes a while. */
      const cases = Array.from({ length: 6 }, (_, length) => letters.slice(0, length)).flatMap((items) =>
        indexes.flatMap((start) => indexes.map((stop) => ({ items, start, stop })))
      ).filter((_, i) => engine === memory || i % 7 === 0)

      test("pushing, popping and measuring", (kt) =>
        Effect.gen(function*() {
          const l = { key: "l" }
          yield* answers(kt, "llen", l, { num: "0" })
          nothing(yield* kt.getBytes("l"))
          yield* answers(kt, "lrpush", { ...l, value: "b" }, { length: "1" })
          yield* answers(kt, "llpush", { ...l, value: "a" }, { length: "2" })
          yield* answers(kt, "lextend", { ...l, 0: "c", 1: "", 3: "after a gap" }, { length: "4" })
          yield* answers(kt, "lrange", l, { 0: "a", 1: "b", 2: "c", 3: "" })
          yield* answers(kt, "lrpop", l, { value: "" })
          yield* answers(kt, "llpop", l, { value: "a" })
          yield* answers(kt, "llen", l, { num: "2" })
          for (const name of ["llpop", "lrpop", "lextend"]) {
            yield* answers(kt, name, { key: name }, name === "lextend" ? { length: "0" } : {})
            assert.strictEqual(yield* stored(kt, name), "", name)
          }
        }))

      test("lrange: a start before the list is empty, a stop after it is cut", (kt) =>
        Effect.gen(function*() {
          for (const { items, start, stop } of cases) {
            yield* filled(kt, items)
            const expected = start !== undefined && start < -items.length ? [] : items.slice(start, stop)
            yield* answers(kt, "lrange", { key: "l", ...range(start, stop) }, ordinals(expected))
          }
          yield* answers(kt, "lrange", { key: "l", start: "junk", stop: "" }, ordinals(letters))
          yield* answers(kt, "lrange", { key: "l", start: " 0x1 ", stop: "3e0" }, { 0: "b", 1: "c" })
        }))

      test("lremrange: ends that are out of range fail, those in the wrong order change places", (kt) =>
        Effect.gen(function*() {
          for (const { items, start, stop } of cases) {
            yield* filled(kt, items)
            /** Where an index is, from 1 on; NaN if it is out of range. */
            const place = (index: number) => {
              const at = index < 0 ? items.length + index + 1 : index + 1
              return at >= 1 && at <= items.length ? at : NaN
            }
            const first = start === undefined ? 1 : place(start)
            const last = stop === undefined ? items.length : place(stop) - 1
            const call = { key: "l", ...range(start, stop) }
            if (Number.isNaN(first + last)) {
              yield* ktError(raw(kt, "lremrange", call), "InvalidArgument")
              deepStrictEqual(yield* kt.List("l").getRange(), items)
            } else {
              const left = items.filter((_, i) => i + 1 < Math.min(first, last) || i + 1 > Math.max(first, last))
              yield* answers(kt, "lremrange", call, { length: `${left.length}` })
              deepStrictEqual(yield* kt.List("l").getRange(), left, JSON.stringify(call))
            }
          }
          yield* answers(kt, "lremrange", { key: "new" }, { length: "0" })
          assert.strictEqual(yield* stored(kt, "new"), "")
          yield* ktError(raw(kt, "lremrange", { key: "newer", start: "0" }), "InvalidArgument")
          nothing(yield* kt.getBytes("newer"))
        }))

      test("lremrange: one and one remove two, three and one remove all of four", (kt) =>
        Effect.gen(function*() {
          yield* filled(kt, ["a", "b", "c", "d"])
          yield* answers(kt, "lremrange", { key: "l", start: "1", stop: "1" }, { length: "2" })
          deepStrictEqual(yield* kt.List("l").getRange(), ["c", "d"])
          yield* filled(kt, ["a", "b", "c", "d"])
          yield* answers(kt, "lremrange", { key: "l", start: "3", stop: "1" }, { length: "0" })
        }))

      test("lindex, linsert, lrem and lset, at every index", (kt) =>
        Effect.gen(function*() {
          for (let length = 0; length <= 3; length++) {
            const items = letters.slice(0, length)
            for (let index = -5; index <= 5; index++) {
              const at = index < 0 ? index + length : index
              const isIn = at >= 0 && at < length
              const call = { index: `${index}`, key: "l" }
              const left = Effect.map(kt.List("l").getRange(), (items) => items.join(""))
              yield* filled(kt, items)
              yield* answers(kt, "lindex", call, isIn ? { value: items[at]! } : {})
              const isInserted = isIn || (length === 0 && (index === 0 || index === -1))
              yield* answers(kt, "linsert", { ...call, value: "x" }, isInserted ? { length: `${length + 1}` } : {})
              const inserted = [...items]
              if (isInserted) inserted.splice(Math.max(0, at), 0, "x")
              assert.strictEqual(yield* left, inserted.join(""), `insert at ${index} of ${length}`)
              yield* filled(kt, items)
              yield* answers(kt, "lset", { ...call, value: "x" }, isIn && index >= 0 ? { num: "1" } : {})
              assert.strictEqual(
                yield* left,
                items.map((item, i) => isIn && i === index ? "x" : item).join(""),
                `set at ${index} of ${length}`
              )
              yield* filled(kt, items)
              yield* answers(kt, "lrem", call, isIn ? { value: items[at]! } : {})
              assert.strictEqual(yield* left, items.filter((_, i) => !isIn || i !== at).join(""))
            }
          }
          yield* filled(kt, ["a", "b"])
          yield* answers(kt, "lindex", { key: "l" }, { value: "a" })
          yield* answers(kt, "lindex", { index: "junk", key: "l" }, { value: "a" })
          yield* answers(kt, "lset", { key: "l", value: "c" }, { num: "1" })
          yield* answers(kt, "lrem", { key: "l" }, { value: "c" })
          deepStrictEqual(yield* kt.List("l").getRange(), ["b"])
          for (const name of ["lindex", "linsert", "lrem", "lset"]) {
            yield* answers(kt, name, { index: "3", key: "new", value: "a" }, {})
          }
          nothing(yield* kt.getBytes("new"))
        }))

      test("lfind and lrfind, lrpoplpush and llpoprpush", (kt) =>
        Effect.gen(function*() {
          yield* filled(kt, ["a", "b", "a"])
          yield* answers(kt, "lfind", { key: "l", value: "a" }, { index: "0" })
          yield* answers(kt, "lrfind", { key: "l", value: "a" }, { index: "2" })
          yield* answers(kt, "lfind", { key: "l", value: "x" }, { index: "-1" })
          yield* answers(kt, "lrfind", { key: "none", value: "" }, { index: "-1" })
          yield* answers(kt, "lrpoplpush", { dest: "m", key: "l" }, { value: "a" })
          yield* answers(kt, "llpoprpush", { dest: "m", key: "l" }, { value: "a" })
          yield* answers(kt, "lrpoplpush", { dest: "m", key: "l" }, { value: "b" })
          yield* answers(kt, "lrange", { key: "m" }, { 0: "b", 1: "a", 2: "a" })
          yield* answers(kt, "llpoprpush", { dest: "m", key: "m" }, { value: "b" })
          yield* answers(kt, "lrange", { key: "m" }, { 0: "a", 1: "a", 2: "b" })
          yield* answers(kt, "lrpoplpush", { dest: "m", key: "m" }, { value: "b" })
          yield* answers(kt, "llpoprpush", { dest: "m", key: "l" }, {})
          yield* answers(kt, "lrpoplpush", { dest: "m", key: "none" }, {})
          yield* answers(kt, "lrange", { key: "m" }, { 0: "b", 1: "a", 2: "a" })
        }))

      test("lunpack and lpack", (kt) =>
        Effect.gen(function*() {
          yield* filled(kt, letters)
          yield* answers(kt, "lunpack", { key: "l", stop: "2" }, { num: "2" })
          yield* answers(kt, "lunpack", { format: "%d", key: "l", prefix: "p", start: "-1" }, { num: "1" })
          deepStrictEqual(yield* kt.matchPrefix(""), ["l", "l:0000", "l:0001", "p4"])
          yield* answers(kt, "lpack", { key: "m", start: "l:", stop: "p4" }, { num: "2" })
          yield* answers(kt, "lpack", { count: "1", key: "m", start: "p" }, { num: "1" })
          yield* answers(kt, "lpack", { key: "m", start: "x" }, { num: "0" })
          yield* answers(kt, "lrange", { key: "m" }, { 0: "a", 1: "b", 2: "e" })
          // Its own record is within the range.
          yield* answers(kt, "lpack", { count: "1", key: "m", start: "m" }, { num: "1" })
          yield* answers(kt, "lindex", { index: "-1", key: "m" }, { value: "\x01a\x01b\x01e" })
        }))
    })

    describe("records", () => {
      test("move keeps the expiry, replaces what is there, and fails without a source", (kt) =>
        Effect.gen(function*() {
          yield* ktError(raw(kt, "move", { dest: "b", src: "a" }), "InvalidArgument")
          yield* kt.set("a", "1", { expireTime: "1 minute" })
          yield* kt.set("b", "2")
          yield* answers(kt, "move", { dest: "a", src: "a" }, {})
          yield* answers(kt, "move", { dest: "b", src: "a" }, {})
          some(yield* kt.get("b"), "1")
          yield* expiresAt(kt, "b", start + 60_000)
          assert.strictEqual(yield* kt.exists("a"), false)
        }))

      test("list, and get_range with both its ends", (kt) =>
        Effect.gen(function*() {
          yield* answers(kt, "list", {}, {})
          for (const key of ["a", "b", "bb", "c"]) yield* kt.set(key, `${key}!`)
          yield* kt.set("dead", "x", { expireTime: KtCompat.expire(-5) })
          yield* answers(kt, "list", {}, { a: "a!", b: "b!", bb: "bb!", c: "c!" })
          yield* answers(kt, "get_range", { start: "b", stop: "c" }, { b: "b!", bb: "bb!", c: "c!" })
          yield* answers(kt, "get_range", { start: "b", stop: "b" }, { b: "b!" })
          yield* answers(kt, "get_range", { stop: "b" }, { a: "a!", b: "b!" })
          yield* answers(kt, "get_range", { start: "bb" }, { bb: "bb!", c: "c!" })
          yield* answers(kt, "get_range", { start: "c", stop: "a" }, {})
          assert.strictEqual(Object.keys(yield* raw(kt, "get_range")).length, 4)
        }))

      test("hash: golden vectors of both functions", (kt) =>
        Effect.gen(function*() {
          yield* answers(kt, "hash", { fn: "fnv", str: "abc" }, { hash: "101813348627779" })
          yield* answers(kt, "hash", { str: "xyz" }, { hash: "206717289890284" })
          yield* answers(kt, "hash", { fn: "murmur", str: "xyz" }, { hash: "206717289890284" })
          yield* answers(kt, "hash", { fn: "FNV", str: "xyz" }, { hash: "206717289890284" })
          // The start of FNV: 14695981039346656037, of which the low 48 bits.
          yield* answers(kt, "hash", { fn: "fnv", str: "" }, { hash: `${14695981039346656037n & (2n ** 48n - 1n)}` })
        }))

      test("get_part is a slice of the bytes", (kt) =>
        Effect.gen(function*() {
          yield* answers(kt, "get_part", { key: "none" }, {})
          yield* kt.set("k", "abcdef")
          for (const start of [undefined, -8, -6, -2, 0, 1, 5, 6, 9]) {
            for (const stop of [undefined, -8, -6, -2, 0, 1, 5, 6, 9]) {
              const call = {
                key: "k",
                ...(start === undefined ? {} : { start: `${start}` }),
                ...(stop === undefined ? {} : { stop: `${stop}` })
              }
              yield* answers(kt, "get_part", call, { value: "abcdef".slice(start, stop) })
            }
          }
          yield* kt.set("k", "é")
          yield* answers(kt, "get_part", { key: "k", start: "1" }, { value: "\u00a9" })
          yield* answers(kt, "get_part", { key: "k", start: "junk" }, { value: "\u00c3\u00a9" })
        }))

      test("touch_bulk, touch_bulk_relative and expire_time", (kt) =>
        Effect.gen(function*() {
          const never = "1099511627775"
          for (const key of ["a", "b"]) yield* kt.set(key, "1")
          yield* answers(kt, "expire_time", { key: "none" }, {})
          yield* answers(kt, "expire_time", { key: "a" }, { xt: never })
          yield* answers(kt, "touch_bulk", {}, {})
          yield* answers(kt, "touch_bulk", { a: "60", b: "-1600000100", none: "60" }, { a: never, b: never })
          yield* answers(kt, "expire_time", { key: "a" }, { xt: "1600000060" })
          yield* expiresAt(kt, "a", 1_600_000_061_000)
          yield* answers(kt, "touch_bulk", { a: "junk", b: "" }, { a: "1600000060", b: "1600000100" })
          yield* answers(kt, "touch_bulk_relative", { a: "10", b: "-10" }, { a: "1600000070", b: "1600000090" })
          yield* answers(kt, "expire_time", { key: "a" }, { xt: "1600000070" })
          yield* answers(kt, "touch_bulk", { a: "1099511627775" }, { a: "1600000070" })
          yield* answers(kt, "touch_bulk_relative", { a: "10", none: "10" }, { a: "1099511627785" })
          yield* answers(kt, "expire_time", { key: "a" }, { xt: never })
          yield* answers(kt, "touch_bulk", { b: "-5" }, { b: "1600000090" })
          yield* answers(kt, "expire_time", { key: "b" }, {})
        }))

      test("get_error and _error_code", (kt) =>
        Effect.gen(function*() {
          yield* answers(kt, "get_error", {}, { code: "0", message: "success" })
          for (let flag = 1; flag <= 11; flag++) {
            yield* Effect.flip(raw(kt, "_error_code", { flag: `${flag}` }))
          }
          for (const flag of ["0", "12", "-1", "junk", ""]) yield* answers(kt, "_error_code", { flag }, {})
          yield* answers(kt, "_error_code", {}, {})
          yield* kt.set("text", "no number")
          yield* ktError(kt.increment("text"), "NotANumber")
          yield* answers(kt, "get_error", {}, { code: "8", message: "logic" })
          yield* kt.set("text", "success does not reset it")
          yield* answers(kt, "get_error", {}, { code: "8", message: "logic" })
        }))
    })

    describe("hexastore", () => {
      test("hx_add, hx_remove, and hx_query of all combinations", (kt) =>
        Effect.gen(function*() {
          const ann = { o: "bob", p: "knows", s: "ann" }
          const likes = { o: "bob", p: "likes", s: "ann" }
          const bob = { o: "cy", p: "knows", s: "bob" }
          for (const triple of [ann, likes, bob, ann]) yield* answers(kt, "hx_add", triple, {})
          assert.strictEqual(yield* kt.count(), 9)
          deepStrictEqual(yield* kt.matchPrefix("spo::ann::knows"), ["spo::ann::knows::bob"])
          deepStrictEqual(yield* kt.matchPrefix("pos::likes"), ["pos::likes::bob::ann"])
          deepStrictEqual(yield* kt.matchPrefix("osp::cy"), ["osp::cy::bob::knows"])
          some(yield* kt.get("spo::ann::knows::bob"), "")
          yield* answers(kt, "hx_query", ann, { 0: "" })
          yield* answers(kt, "hx_query", { ...ann, o: "cy" }, {})
          yield* answers(kt, "hx_query", { p: "knows", s: "ann" }, { o0: "bob" })
          yield* answers(kt, "hx_query", { o: "bob", s: "ann" }, { p0: "knows", p1: "likes" })
          yield* answers(kt, "hx_query", { o: "bob", p: "likes" }, { s0: "ann" })
          yield* answers(kt, "hx_query", { s: "ann" }, { o0: "bob", o1: "bob", p0: "knows", p1: "likes" })
          yield* answers(kt, "hx_query", { p: "knows" }, { o0: "bob", o1: "cy", s0: "ann", s1: "bob" })
          yield* answers(kt, "hx_query", { o: "bob" }, { p0: "knows", p1: "likes", s0: "ann", s1: "ann" })
          for (const unknown of ["s", "p", "o"]) yield* answers(kt, "hx_query", { [unknown]: "x" }, {})
          yield* answers(kt, "hx_query", { s: "an" }, {})
          yield* answers(kt, "hx_remove", likes, {})
          yield* answers(kt, "hx_remove", likes, {})
          yield* answers(kt, "hx_query", { s: "ann" }, { o0: "bob", p0: "knows" })
          yield* answers(kt, "hx_query", likes, {})
          assert.strictEqual(yield* kt.count(), 6)
        }))
    })
  })
