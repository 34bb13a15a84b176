/** What KtCompat promises of hashes. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, FastCheck as fc, Option, Schema, TestClock } from "effect"
import { KtCompat, Storage } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import {
  bytes,
  codecError,
  expiresAt,
  hex,
  holds,
  invalidKey,
  ktError,
  nothing,
  oneOf,
  parameterNames,
  runsOn,
  some,
  start,
  stored,
  testOn,
  type Text,
  unhex
} from "../ktContainers.js"

/** What is no hash. */
const corrupt = [
  "00",
  "0100",
  "01016161ff",
  "0101 61",
  "80",
  "0001 61 80",
  "7f7f 6161",
  "ffffffffffffffff7f01 61",
  "0101 6161 05",
  hex(bytes("plain text"))
]

/** Every method that reads a hash. */
const methods = (kt: Text, key: string): Record<string, Effect.Effect<unknown, KtCompat.Failure>> => {
  const hash = kt.Hash(key)
  return {
    contains: hash.contains("a"),
    get: hash.get("a"),
    getAll: hash.getAll,
    getBulk: hash.getBulk(["a"]),
    getRaw: hash.getRaw,
    length: hash.length,
    pack: hash.pack({ start: "record", stop: "recore" }),
    packKeys: hash.packKeys("target"),
    packValues: hash.packValues("target"),
    remove: hash.remove("a"),
    removeBulk: hash.removeBulk(["a"]),
    set: hash.set("a", "1"),
    setBulk: hash.setBulk({ a: "1" }),
    setnx: hash.setnx("a", "1"),
    unpack: hash.unpack(),
    update: hash.update({ a: "1" })
  }
}

const sorted = <A>(map: ReadonlyMap<string, A>): ReadonlyArray<readonly [string, A]> =>
  Array.from(map).sort(([a], [b]) => a < b ? -1 : 1)

const name = fc.oneof(fc.constantFrom("", "a", "b", "db", "é", "\u{1F600}", "__proto__"), fc.string({ maxLength: 3 }))
const value = fc.string({ maxLength: 4 })

const command = fc.oneof(
  fc.record({ name, tag: oneOf("set", "setnx"), value }),
  fc.record({ name, tag: oneOf("get", "remove", "contains") }),
  fc.record({ tag: oneOf("setBulk", "update"), values: fc.array(fc.tuple(name, value), { maxLength: 4 }) }),
  fc.record({ names: fc.array(name, { maxLength: 4 }), tag: oneOf("getBulk", "removeBulk") }),
  fc.record({ tag: oneOf("setRaw"), values: fc.array(fc.tuple(name, value), { maxLength: 4 }) }),
  fc.record({ tag: oneOf("clear", "length", "getRaw", "getAll") })
)
type Command = typeof command extends fc.Arbitrary<infer A> ? A : never

/** Runs a command on a hash and on a plain map: they must agree. */
const agrees = (hash: KtCompat.Hash<string>, model: Map<string, string>, isThere: boolean, command: Command) =>
  Effect.gen(function*() {
    switch (command.tag) {
      case "set":
        yield* hash.set(command.name, command.value)
        model.set(command.name, command.value)
        return true
      case "setnx":
        assert.strictEqual(yield* hash.setnx(command.name, command.value), !model.has(command.name))
        if (!model.has(command.name)) model.set(command.name, command.value)
        return true
      case "get":
        assert.strictEqual(Option.getOrUndefined(yield* hash.get(command.name)), model.get(command.name))
        return isThere
      case "contains":
        assert.strictEqual(yield* hash.contains(command.name), model.has(command.name))
        return isThere
      case "remove":
        assert.strictEqual(yield* hash.remove(command.name), model.delete(command.name))
        return isThere
      case "setBulk":
      case "update":
        assert.strictEqual(yield* hash[command.tag](command.values), new Map(command.values).size)
        for (const [name, value] of command.values) model.set(name, value)
        return true
      case "getBulk":
        deepStrictEqual(
          sorted(yield* hash.getBulk(command.names)),
          sorted(new Map([...model].filter(([name]) => command.names.includes(name))))
        )
        return isThere
      case "removeBulk":
        assert.strictEqual(
          yield* hash.removeBulk(command.names),
          [...new Set(command.names)].filter((name) => model.delete(name)).length
        )
        return isThere
      case "setRaw":
        yield* hash.setRaw(command.values)
        model.clear()
        for (const [name, value] of command.values) model.set(name, value)
        return true
      case "clear":
        assert.strictEqual(yield* hash.clear, isThere)
        model.clear()
        return false
      case "length":
        assert.strictEqual(yield* hash.length, model.size)
        return isThere
      case "getAll":
        deepStrictEqual(sorted(yield* hash.getAll), sorted(model))
        return isThere
      case "getRaw": {
        const found = yield* hash.getRaw
        assert.strictEqual(Option.isSome(found), isThere)
        deepStrictEqual(sorted(Option.getOrElse(found, () => new Map<string, string>())), sorted(model))
        return isThere
      }
    }
  })

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat.Hash", () => {
    const test = testOn(engine)

    describe("methods", () => {
      test("U101: setBulk and update write fields, of an object, a Map or pairs, and tell how many", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          assert.strictEqual(yield* hash.setBulk({ a: "1", b: "2" }), 2)
          assert.strictEqual(yield* hash.update(new Map([["b", "3"], ["c", "4"]])), 2)
          assert.strictEqual(yield* hash.setBulk([["d", "5"], ["d", "6"]]), 1)
          assert.strictEqual(yield* hash.setBulk({}), 0)
          deepStrictEqual(sorted(yield* hash.getAll), [["a", "1"], ["b", "3"], ["c", "4"], ["d", "6"]])
        }))

      test("U102, U103: getBulk gives what there is, removeBulk counts what there was", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          yield* hash.setBulk({ a: "1", b: "2", c: "3" })
          deepStrictEqual(sorted(yield* hash.getBulk(["c", "x", "a", "a"])), [["a", "1"], ["c", "3"]])
          deepStrictEqual(sorted(yield* hash.getBulk([])), [])
          assert.strictEqual(yield* hash.removeBulk(["c", "x", "a", "a"]), 2)
          assert.strictEqual(yield* hash.removeBulk([]), 0)
          deepStrictEqual(sorted(yield* hash.getAll), [["b", "2"]])
        }))

      test("U104 to U106: a hash that is not there is empty, and reading does not make it", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          nothing(yield* hash.get("a"))
          deepStrictEqual(sorted(yield* hash.getAll), [])
          assert.strictEqual(yield* hash.length, 0)
          assert.strictEqual(yield* hash.contains("a"), false)
          nothing(yield* hash.getRaw)
          assert.strictEqual(yield* hash.clear, false)
          assert.strictEqual(yield* hash.remove("a"), false)
          assert.strictEqual(yield* hash.removeBulk(["a"]), 0)
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("U105: set replaces, setnx does not, remove tells", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          assert.strictEqual(yield* hash.setnx("a", "1"), true)
          assert.strictEqual(yield* hash.setnx("a", "2"), false)
          some(yield* hash.get("a"), "1")
          yield* hash.set("a", "3")
          some(yield* hash.get("a"), "3")
          assert.strictEqual(yield* hash.length, 1)
          assert.strictEqual(yield* hash.contains("a"), true)
          assert.strictEqual(yield* hash.remove("a"), true)
          assert.strictEqual(yield* hash.remove("a"), false)
          some(yield* hash.getRaw, new Map())
          assert.strictEqual(yield* stored(kt, "h"), "")
        }))

      test("U105: fields and values may be empty, and have any characters", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("")
          const all = ["", " ", "\0", "\t\n", "é", "e\u0301", "\u{1F600}", "__proto__", "constructor", "x".repeat(5000)]
          for (const text of all) yield* hash.set(text, text)
          deepStrictEqual(sorted(yield* hash.getAll), sorted(new Map(all.map((text) => [text, text]))))
          for (const text of all) some(yield* hash.get(text), text)
          assert.strictEqual(yield* hash.removeBulk(all), all.length)
        }))

      test("U105: a field that has no UTF-8 form is refused, and nothing is written", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          const lone = "\ud800"
          yield* invalidKey(hash.set(lone, "1"))
          yield* invalidKey(hash.setnx(lone, "1"))
          yield* invalidKey(hash.get(lone))
          yield* invalidKey(hash.remove(lone))
          yield* invalidKey(hash.contains(lone))
          yield* invalidKey(hash.setBulk([["a", "1"], [lone, "2"]]))
          yield* invalidKey(hash.getBulk([lone]))
          yield* invalidKey(hash.removeBulk([lone]))
          yield* invalidKey(hash.setRaw([[lone, "1"]]))
          assert.strictEqual(yield* kt.exists("h"), false)
        }))

      test("a key that is too long is refused by every method", (kt) =>
        Effect.gen(function*() {
          for (const method of Object.values(methods(kt, "k".repeat(2049)))) yield* invalidKey(method)
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("U100: a field may have the name of any parameter", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          for (const name of parameterNames) {
            assert.strictEqual(yield* hash.setnx(name, `${name} 0`), true, name)
            yield* hash.set(name, `${name} 1`)
            some(yield* hash.get(name), `${name} 1`)
            assert.strictEqual(yield* hash.contains(name), true, name)
          }
          assert.strictEqual(yield* hash.length, parameterNames.length)
          const all = new Map(parameterNames.map((name) => [name, "1"]))
          assert.strictEqual(yield* hash.setBulk(all), parameterNames.length)
          deepStrictEqual(sorted(yield* hash.getBulk(parameterNames)), sorted(all))
          deepStrictEqual(sorted(yield* hash.getAll), sorted(all))
          assert.strictEqual(yield* hash.unpack({ prefix: "" }), parameterNames.length)
          deepStrictEqual(sorted(yield* kt.getBulk(parameterNames)), sorted(all))
          assert.strictEqual(yield* kt.count({ db: 1 }), 0)
          assert.strictEqual(yield* hash.removeBulk(parameterNames), parameterNames.length)
          assert.strictEqual(yield* hash.length, 0)
        }))

      test("U100: clear, and all else, is about the database of the container", (kt) =>
        Effect.gen(function*() {
          const [first, second] = [kt.Hash("h"), kt.Hash("h", { db: 1 })]
          yield* first.set("a", "1")
          yield* second.set("a", "2")
          some(yield* second.get("a"), "2")
          assert.strictEqual(yield* second.unpack(), 1)
          assert.strictEqual(yield* second.clear, true)
          nothing(yield* second.getRaw)
          some(yield* first.get("a"), "1")
          some(yield* kt.setDatabase("b").get("h:a"), "2")
          nothing(yield* kt.get("h:a"))
          yield* ktError(kt.Hash("h", { db: 2 }).set("a", "1"), "NoDatabase")
        }))
    })

    describe("expiry", () => {
      const writes: Record<string, (hash: KtCompat.Hash<string>) => Effect.Effect<unknown, KtCompat.Failure>> = {
        pack: (hash) => hash.pack({ start: "record", stop: "recore" }),
        remove: (hash) => hash.remove("a"),
        removeBulk: (hash) => hash.removeBulk(["b"]),
        set: (hash) => hash.set("c", "1"),
        setBulk: (hash) => hash.setBulk({ d: "1" }),
        setnx: (hash) => hash.setnx("e", "1"),
        update: (hash) => hash.update({ f: "1" })
      }

      test("U100: every write keeps it", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          yield* kt.set("record 1", "packed")
          yield* hash.setBulk({ a: "1", b: "2" })
          yield* expiresAt(kt, "h", undefined)
          yield* kt.touch("h", "1 minute")
          for (const [name, write] of Object.entries(writes)) {
            const before = yield* stored(kt, "h")
            yield* TestClock.adjust("1 second")
            yield* write(hash)
            assert.notStrictEqual(yield* stored(kt, "h"), before, name)
            yield* expiresAt(kt, "h", start + 60_000, name)
          }
          yield* TestClock.setTime(start + 60_000)
          deepStrictEqual(sorted(yield* hash.getAll), [])
          assert.strictEqual(yield* hash.clear, false)
        }))

      test("U100: what is written after it is new, and does not expire", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("record 1", "packed")
          for (const name of Object.keys(writes)) {
            const hash = kt.Hash(name)
            yield* hash.setBulk({ a: "1", b: "2" })
            yield* kt.touch(name, "1 second")
          }
          yield* TestClock.adjust("1 second")
          for (const [name, write] of Object.entries(writes)) {
            yield* write(kt.Hash(name))
            // What removes from nothing writes nothing.
            if (name.startsWith("remove")) assert.strictEqual(yield* kt.exists(name), false, name)
            else yield* expiresAt(kt, name, undefined, name)
            assert.isAtMost(yield* kt.Hash(name).length, 1, name)
          }
        }))

      test("U110: setRaw has it never expire", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          yield* hash.set("a", "1")
          yield* kt.touch("h", "1 minute")
          yield* hash.setRaw({ b: "2" })
          yield* expiresAt(kt, "h", undefined)
        }))
    })

    describe("bytes", () => {
      test("U110: golden vectors, of setRaw, getRaw, set and getBytes", (kt) =>
        Effect.gen(function*() {
          const golden: ReadonlyArray<readonly [Record<string, string>, string]> = [
            [{}, ""],
            [{ "": "" }, "00 00"],
            [{ foo: "baze" }, "03 04 666f6f 62617a65"],
            [{ k1: "v1", k2: "", é: "\u{1F600}" }, "02 02 6b31 7631  02 00 6b32  02 04 c3a9 f09f9880"],
            [{ k: "v".repeat(127) }, `01 7f 6b ${"76".repeat(127)}`],
            [{ k: "v".repeat(128) }, `01 8100 6b ${"76".repeat(128)}`],
            [{ ["k".repeat(300)]: "v" }, `822c 01 ${"6b".repeat(300)} 76`],
            [{ k: "v".repeat(16_383) }, `01 ff7f 6b ${"76".repeat(16_383)}`],
            [{ k: "v".repeat(16_384) }, `01 818000 6b ${"76".repeat(16_384)}`]
          ]
          for (const [fields, expected] of golden) {
            const digits = expected.replaceAll(" ", "")
            yield* kt.Hash("raw").setRaw(fields)
            assert.strictEqual(yield* stored(kt, "raw"), digits)
            yield* kt.setBytes("read", unhex(expected))
            some(yield* kt.Hash("read").getRaw, new Map(Object.entries(fields)))
            deepStrictEqual(yield* kt.Hash("read").getAll, new Map(Object.entries(fields)))
            yield* kt.remove("set")
            for (const [name, value] of Object.entries(fields)) yield* kt.Hash("set").set(name, value)
            assert.strictEqual((yield* stored(kt, "set")) ?? "", digits)
            assert.strictEqual(hex(yield* kt.serializeDict(fields)), digits)
          }
        }))

      test("U110: a length may be longer than needed, and the last of two equal names counts", (kt) =>
        Effect.gen(function*() {
          yield* kt.setBytes("h", unhex("8001 80808001 61 31  01 01 61 32"))
          some(yield* kt.Hash("h").getRaw, new Map([["a", "2"]]))
          yield* kt.Hash("h").set("b", "3")
          assert.strictEqual(yield* stored(kt, "h"), "0101613201016233")
        }))

      test("bytes that are no hash fail every method that reads them, and stay", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("record", "packed")
          for (const digits of corrupt) {
            yield* kt.setBytes("h", unhex(digits), { expireTime: "1 hour" })
            for (const [name, method] of Object.entries(methods(kt, "h"))) {
              yield* ktError(method, "CorruptContainer")
              assert.strictEqual(yield* stored(kt, "h"), digits.replaceAll(" ", ""), name)
            }
            yield* expiresAt(kt, "h", start + 3_600_000)
          }
          assert.strictEqual(yield* kt.count(), 2)
          assert.strictEqual(yield* kt.Hash("h").clear, true)
        }))

      test("what is not UTF-8 can be told to stay, and be removed, but not be read", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          yield* kt.setBytes("h", unhex("01 01 ff 31  01 01 61 ff  01 01 62 32"))
          some(yield* hash.get("b"), "2")
          assert.strictEqual(yield* hash.length, 3)
          yield* codecError(hash.get("a"))
          yield* codecError(hash.getAll)
          yield* codecError(hash.getRaw)
          yield* codecError(hash.getBulk(["a", "b"]))
          yield* hash.set("b", "3")
          assert.strictEqual(yield* stored(kt, "h"), "0101ff31010161ff01016233")
          assert.strictEqual(yield* hash.remove("a"), true)
          assert.strictEqual(yield* stored(kt, "h"), "0101ff3101016233")
        }))
    })

    describe("unpack and pack", () => {
      test("U107: unpack writes records under the key and a colon, or a prefix, in place of what is there", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          assert.strictEqual(yield* hash.unpack(), 0)
          yield* hash.setBulk({ "": "0", a: "1", b: "2" })
          yield* kt.set("h:a", "before", { expireTime: "1 minute" })
          yield* kt.touch("h", "1 minute")
          assert.strictEqual(yield* hash.unpack(), 3)
          deepStrictEqual(yield* kt.matchPrefix("h"), ["h", "h:", "h:a", "h:b"])
          some(yield* kt.get("h:a"), "1")
          yield* expiresAt(kt, "h:a", undefined)
          assert.strictEqual(yield* hash.unpack({ prefix: "" }), 3)
          some(yield* kt.get(""), "0")
          assert.strictEqual(yield* hash.unpack({ prefix: unhex("00 ff") }), 3)
          some(yield* (yield* KtCompat.makeBytes()).get(unhex("00 ff 62")), "2")
        }))

      test("U107: unpack is all or nothing", (kt) =>
        Effect.gen(function*() {
          yield* kt.Hash("h").setBulk({ a: "1", ["b".repeat(2048)]: "2", c: "3" })
          yield* invalidKey(kt.Hash("h").unpack())
          deepStrictEqual(yield* kt.matchPrefix(""), ["h"])
        }))

      test("U108: pack takes what is from start on, before stop, at most so many, but not itself", (kt) =>
        Effect.gen(function*() {
          for (const key of ["a", "b", "c", "d", "e"]) yield* kt.set(key, `${key}!`)
          yield* kt.set("cc", "gone", { expireTime: "1 second" })
          yield* TestClock.adjust("1 second")
          const packing = (options: KtCompat.PackOptions | undefined, expected: string, key = "cx") =>
            Effect.gen(function*() {
              yield* kt.Hash(key).set("kept", "1")
              assert.strictEqual(yield* kt.Hash(key).pack(options), expected.length)
              const found = new Map(yield* kt.Hash(key).getAll)
              assert.strictEqual(found.get("kept"), "1")
              found.delete("kept")
              deepStrictEqual(sorted(found), Array.from(expected, (name) => [name, `${name}!`] as const))
              yield* kt.remove(key)
            })
          yield* packing(undefined, "abcde")
          yield* packing({}, "abcde")
          yield* packing({ start: "b" }, "bcde")
          yield* packing({ stop: "d" }, "abc")
          yield* packing({ start: "b", stop: "d" }, "bc")
          yield* packing({ count: 2, start: "b" }, "bc")
          // Its own key is within these, and counts for nothing.
          yield* packing({ count: 4 }, "abcd", "0")
          yield* packing({ count: 4 }, "abcd", "bx")
          yield* packing({ count: 4, start: "b" }, "bcde", "b0")
          yield* packing({ count: 0 }, "")
          yield* packing({ start: "x" }, "", "h")
          yield* packing({ start: "d", stop: "b" }, "")
          yield* packing({ start: bytes("b"), stop: unhex("64") }, "bc")
        }))

      test("U108: a count that is none is refused, and what finds nothing writes nothing", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("a", "1")
          for (const count of [-1, 1.5, NaN, Infinity]) yield* ktError(kt.Hash("h").pack({ count }), "InvalidArgument")
          assert.strictEqual(yield* kt.Hash("h").pack({ start: "b" }), 0)
          nothing(yield* kt.Hash("h").getRaw)
        }))

      test("U109: packKeys and packValues write lists, in place of what is there", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          yield* kt.set("list", "before", { expireTime: "1 minute" })
          assert.strictEqual(yield* hash.packKeys("list"), 0)
          assert.strictEqual(yield* hash.packValues("list"), 0)
          some(yield* kt.get("list"), "before")
          yield* hash.setBulk({ a: "1", b: "1", c: "3" })
          assert.strictEqual(yield* hash.packKeys("list"), 3)
          deepStrictEqual(yield* kt.List("list").getRange(), ["a", "b", "c"])
          assert.strictEqual(yield* stored(kt, "list"), "016101620163")
          yield* expiresAt(kt, "list", undefined)
          assert.strictEqual(yield* hash.packValues("list"), 3)
          deepStrictEqual(yield* kt.List("list").getRange(), ["1", "1", "3"])
          assert.strictEqual(yield* hash.packValues("h"), 3)
          assert.strictEqual(yield* stored(kt, "h"), "013101310133")
        }))

      test("U109: keys are a list of text with any serializer, and values one of the same", (kt) =>
        Effect.gen(function*() {
          const json = kt.withValues(KtCompat.json)
          yield* json.Hash("h").setBulk({ a: [1], b: null })
          yield* json.Hash("h").packKeys("keys")
          yield* json.Hash("h").packValues("values")
          deepStrictEqual(yield* kt.List("keys").getRange(), ["a", "b"])
          deepStrictEqual(yield* json.List("values").getRange(), [[1], null])
        }))
    })

    describe("serializers", () => {
      test("JSON and MessagePack: any value is one, also null and what looks like nothing", (kt) =>
        Effect.gen(function*() {
          const all = { a: null, b: false, c: 0, d: "", e: [], f: { g: [1, "é", { h: null }] } }
          for (const values of [KtCompat.json, KtCompat.msgpack]) {
            const hash = kt.withValues(values).Hash("h")
            yield* hash.clear
            yield* hash.setBulk(all)
            yield* hash.setnx("a", 1)
            deepStrictEqual(sorted(yield* hash.getAll), sorted(new Map<string, unknown>(Object.entries(all))))
            some(yield* hash.get("a"), null)
            some(yield* hash.get("f"), all.f)
          }
          yield* kt.withValues(KtCompat.json).Hash("json").set("k", { b: 1, a: [2] })
          assert.strictEqual(yield* stored(kt, "json"), `010f6b${hex(bytes(`{"a":[2],"b":1}`))}`)
          yield* kt.withValues(KtCompat.msgpack).Hash("msgpack").set("k", ["a", 1])
          assert.strictEqual(yield* stored(kt, "msgpack"), "01046b92a16101")
        }))

      test("none: bytes as they are", (kt) =>
        Effect.gen(function*() {
          const hash = kt.withValues(KtCompat.none).Hash("h")
          yield* hash.set("a", unhex("ff 00"))
          yield* hash.set("b", new Uint8Array(0))
          assert.strictEqual(hex(Option.getOrThrow(yield* hash.get("a"))), "ff00")
          assert.strictEqual(yield* stored(kt, "h"), "010261ff00010062")
        }))

      test("a Schema: transformed both ways; what it refuses is not written", (kt) =>
        Effect.gen(function*() {
          const dates = kt.withValues(Schema.Struct({ at: Schema.Date, n: Schema.Positive }))
          const hash = dates.Hash("h")
          yield* hash.set("a", { at: new Date(0), n: 1 })
          some(yield* hash.get("a"), { at: new Date(0), n: 1 })
          const before = yield* stored(kt, "h")
          yield* codecError(hash.set("b", { at: new Date(0), n: -1 }))
          yield* codecError(hash.setnx("b", { at: new Date(0), n: -1 }))
          yield* codecError(hash.setBulk({ b: { at: new Date(0), n: 1 }, c: { at: new Date(0), n: -1 } }))
          yield* codecError(hash.setRaw({ c: { at: new Date(0), n: -1 } }))
          assert.strictEqual(yield* stored(kt, "h"), before)
          yield* kt.Hash("h").set("b", "{}")
          yield* codecError(hash.getAll)
          some(yield* hash.get("a"), { at: new Date(0), n: 1 })
        }))
    })

    describe("together", () => {
      test("U100: a hundred writers at once lose nothing", (kt) =>
        Effect.gen(function*() {
          const hash = kt.Hash("h")
          const names = Array.from({ length: 100 }, (_, i) => `field ${i}`)
          yield* Effect.forEach(names, (name) => hash.setnx(name, name), { concurrency: "unbounded" })
          assert.strictEqual(yield* hash.length, 100)
          const removed = yield* Effect.forEach([...names, ...names], hash.remove, { concurrency: "unbounded" })
          assert.strictEqual(removed.filter(Boolean).length, 100)
          assert.strictEqual(yield* hash.length, 0)
        }))

      test("in a transaction that is rolled back nothing was written", (kt) =>
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          yield* kt.Hash("h").set("a", "1")
          const failing = kt.Hash("h").setBulk({ a: "2", b: "3" }).pipe(
            Effect.zipRight(kt.Hash("h").unpack()),
            Effect.zipRight(kt.Hash("h").getAll),
            Effect.flatMap((seen) => Effect.fail(sorted(seen)))
          )
          deepStrictEqual(yield* Effect.flip(storage.transaction(failing)), [["a", "2"], ["b", "3"]])
          deepStrictEqual(sorted(yield* kt.Hash("h").getAll), [["a", "1"]])
          assert.strictEqual(yield* kt.count(), 1)
        }))

      test("agrees with a plain map, whatever is done", (kt) =>
        holds(runsOn(engine, 100), fc.array(command, { maxLength: 25 }), (commands, run) =>
          Effect.gen(function*() {
            const model = new Map<string, string>()
            let isThere = false
            for (const command of commands) isThere = yield* agrees(kt.Hash(`h${run}`), model, isThere, command)
            deepStrictEqual(sorted(yield* kt.Hash(`h${run}`).getAll), sorted(model))
          })))
    })
  })
