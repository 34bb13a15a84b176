/** What KtCompat promises of lists. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, FastCheck as fc, Option, Schema, TestClock } from "effect"
import { KtCompat, Storage } from "effect-kv"
import { describeOn, type Engine, memory } from "../engines.js"
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

type List = KtCompat.List<string>

/** What is no list. */
const corrupt = ["01", "80", "0161 05 61", "8001", "ffffffffffffffff7f 61", "016180", hex(bytes("plain text"))]

/** Every method that reads a list. */
const methods = (kt: Text, key: string): Record<string, Effect.Effect<unknown, KtCompat.Failure>> => {
  const list = kt.List(key)
  return {
    append: list.append("1"),
    appendLeft: list.appendLeft("1"),
    appendRight: list.appendRight("1"),
    contains: list.contains("1"),
    extend: list.extend(["1"]),
    find: list.find("1"),
    getRange: list.getRange(),
    getRaw: list.getRaw,
    index: list.index(0),
    insert: list.insert(0, "1"),
    length: list.length,
    lpoprpush: list.lpoprpush("target"),
    pack: list.pack({ start: "record", stop: "recore" }),
    pop: list.pop(),
    popAt: list.pop(0),
    popLeft: list.popLeft,
    popRight: list.popRight,
    remove: list.remove(0),
    removeRange: list.removeRange(0, 1),
    rfind: list.rfind("1"),
    rotate: list.lpoprpush(),
    rotateBack: list.rpoplpush(),
    rpoplpush: list.rpoplpush("target"),
    set: list.set(0, "1"),
    unpack: list.unpack()
  }
}

/** What changes a list that has three or more items. */
const writes: Record<string, (list: List) => Effect.Effect<unknown, KtCompat.Failure>> = {
  append: (list) => list.append("1"),
  appendLeft: (list) => list.appendLeft("2"),
  appendRight: (list) => list.appendRight("3"),
  extend: (list) => list.extend(["4", "5", "6", "7", "8"]),
  insert: (list) => list.insert(1, "9"),
  lpoprpush: (list) => list.lpoprpush("other"),
  pack: (list) => list.pack({ start: "record", stop: "recore" }),
  pop: (list) => list.pop(),
  popLeft: (list) => list.popLeft,
  popRight: (list) => list.popRight,
  remove: (list) => list.remove(0),
  removeRange: (list) => list.removeRange(0, 1),
  rotate: (list) => list.lpoprpush(),
  rotateBack: (list) => list.rpoplpush(),
  rpoplpush: (list) => list.rpoplpush("other"),
  set: (list) => list.set(0, "10")
}

/** Where a slice begins and ends, as Python has it. */
const bounds = (length: number, start: number | undefined, stop: number | undefined): readonly [number, number] => {
  const within = (index: number) => index < 0 ? Math.max(0, length + index) : Math.min(index, length)
  return [within(start ?? 0), within(stop ?? length)]
}

const sliced = (items: ReadonlyArray<string>, start: number | undefined, stop: number | undefined) => {
  const [from, to] = bounds(items.length, start, stop)
  return items.filter((_, i) => i >= from && i < to)
}

const without = (items: ReadonlyArray<string>, start: number | undefined, stop: number | undefined) => {
  const [from, to] = bounds(items.length, start, stop)
  return items.filter((_, i) => i < from || i >= to)
}

const letters = ["a", "b", "c", "d", "e", "f"]
const places = Array.from({ length: 17 }, (_, i) => i - 8)

const place = fc.integer({ max: 6, min: -6 })
const end = fc.option(place, { nil: undefined })
const value = fc.constantFrom("", "a", "b", "é", "x".repeat(200))

const command = fc.oneof(
  fc.record({ tag: oneOf("append", "appendLeft", "appendRight", "find", "rfind", "contains"), value }),
  fc.record({ place, tag: oneOf("index", "pop", "remove") }),
  fc.record({ place, tag: oneOf("insert", "set"), value }),
  fc.record({ start: end, stop: end, tag: oneOf("getRange", "removeRange") }),
  fc.record({ tag: oneOf("extend", "setRaw"), values: fc.array(value, { maxLength: 4 }) }),
  fc.record({ tag: oneOf("popLeft", "popRight", "lpoprpush", "rpoplpush", "length", "getRaw") })
)
type Command = typeof command extends fc.Arbitrary<infer A> ? A : never

/** What a command answers, and what the list is then: by plain arrays. */
const modelled = (items: ReadonlyArray<string>, command: Command): readonly [unknown, ReadonlyArray<string>] => {
  const at = "place" in command ? command.place < 0 ? command.place + items.length : command.place : 0
  const isIn = at >= 0 && at < items.length
  const pushed = (all: ReadonlyArray<string>) => [all.length, all] as const
  const cut = [...items.slice(0, at), ...items.slice(at + 1)]
  const index = (index: number) => index < 0 ? undefined : index
  switch (command.tag) {
    case "append":
    case "appendRight":
      return pushed([...items, command.value])
    case "appendLeft":
      return pushed([command.value, ...items])
    case "extend":
      return pushed([...items, ...command.values])
    case "find":
      return [index(items.indexOf(command.value)), items]
    case "rfind":
      return [index(items.lastIndexOf(command.value)), items]
    case "contains":
      return [items.includes(command.value), items]
    case "index":
      return [isIn ? items[at] : undefined, items]
    case "pop":
      return isIn ? [items[at], cut] : [undefined, items]
    case "remove":
      return isIn ? [items[at], cut] : ["IndexOutOfBounds", items]
    case "insert":
      if (items.length === 0 && (command.place === 0 || command.place === -1)) return [1, [command.value]]
      return isIn
        ? pushed([...items.slice(0, at), command.value, ...items.slice(at)])
        : ["IndexOutOfBounds", items]
    case "set":
      return isIn ? [undefined, items.map((item, i) => i === at ? command.value : item)] : ["IndexOutOfBounds", items]
    case "getRange":
      return [sliced(items, command.start, command.stop), items]
    case "removeRange": {
      const left = without(items, command.start, command.stop)
      return [left.length, left]
    }
    case "setRaw":
      return [undefined, command.values]
    case "popLeft":
      return [items[0], items.slice(1)]
    case "popRight":
      return [items.at(-1), items.slice(0, -1)]
    case "lpoprpush":
      return [items[0], [...items.slice(1), ...items.slice(0, 1)]]
    case "rpoplpush":
      return [items.at(-1), [...items.slice(-1), ...items.slice(0, -1)]]
    case "length":
      return [items.length, items]
    case "getRaw":
      return [items, items]
  }
}

const run = (list: List, command: Command): Effect.Effect<unknown, KtCompat.Failure> => {
  switch (command.tag) {
    case "append":
    case "appendLeft":
    case "appendRight":
    case "contains":
      return list[command.tag](command.value)
    case "find":
    case "rfind":
      return Effect.map(list[command.tag](command.value), Option.getOrUndefined)
    case "index":
    case "pop":
      return Effect.map(list[command.tag](command.place), Option.getOrUndefined)
    case "remove":
      return list.remove(command.place)
    case "insert":
    case "set":
      return list[command.tag](command.place, command.value)
    case "getRange":
    case "removeRange":
      return list[command.tag](command.start, command.stop)
    case "extend":
    case "setRaw":
      return list[command.tag](command.values)
    case "popLeft":
    case "popRight":
      return Effect.map(list[command.tag], Option.getOrUndefined)
    case "lpoprpush":
    case "rpoplpush":
      return Effect.map(list[command.tag](), Option.getOrUndefined)
    case "length":
      return list.length
    case "getRaw":
      return Effect.map(list.getRaw, Option.getOrElse((): ReadonlyArray<string> => []))
  }
}

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat.List", () => {
    const test = testOn(engine)
    /** Not all of many cases, where each takes a while. */
    const isTried = (i: number) => engine === memory || i % 13 === 0
    const filled = (kt: Text, items: ReadonlyArray<string>) => Effect.as(kt.List("l").setRaw(items), kt.List("l"))

    describe("methods", () => {
      test("U113: append, appendRight, appendLeft and extend tell the length", (kt) =>
        Effect.gen(function*() {
          const list = kt.List("l")
          assert.strictEqual(yield* list.append("b"), 1)
          assert.strictEqual(yield* list.appendRight("c"), 2)
          assert.strictEqual(yield* list.appendLeft("a"), 3)
          assert.strictEqual(yield* list.extend(["d", "d", ""]), 6)
          assert.strictEqual(yield* list.extend([]), 6)
          assert.strictEqual(yield* list.extend(new Set(["e"])), 7)
          deepStrictEqual(yield* list.getRange(), ["a", "b", "c", "d", "d", "", "e"])
        }))

      test("U113: a list that is not there is empty, and reading does not make it", (kt) =>
        Effect.gen(function*() {
          const list = kt.List("l")
          deepStrictEqual(yield* list.getRange(), [])
          nothing(yield* list.index(0))
          nothing(yield* list.find("a"))
          nothing(yield* list.rfind("a"))
          nothing(yield* list.getRaw)
          assert.strictEqual(yield* list.length, 0)
          assert.strictEqual(yield* list.contains(""), false)
          assert.strictEqual(yield* list.unpack(), 0)
          nothing(yield* list.lpoprpush())
          nothing(yield* list.rpoplpush("other"))
          nothing(yield* list.pop(0))
          yield* ktError(list.set(0, "a"), "IndexOutOfBounds")
          yield* ktError(list.remove(0), "IndexOutOfBounds")
          yield* ktError(list.insert(1, "a"), "IndexOutOfBounds")
          assert.strictEqual(yield* list.clear, false)
          nothing(yield* list.popLeft)
          nothing(yield* list.popRight)
          nothing(yield* list.pop())
          assert.strictEqual(yield* list.removeRange(), 0)
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("U114: getRange is Python's slice, for every start and stop on lists of none to six", (kt) =>
        Effect.gen(function*() {
          let i = 0
          for (let length = 0; length <= 6; length++) {
            const items = letters.slice(0, length)
            const list = yield* filled(kt, items)
            for (const start of [undefined, ...places]) {
              for (const stop of [undefined, ...places]) {
                if (!isTried(i++)) continue
                deepStrictEqual(
                  yield* list.getRange(start, stop),
                  sliced(items, start, stop),
                  `[${start}:${stop}] of ${items.join("")}`
                )
              }
            }
          }
        }))

      test("U119: removeRange removes Python's slice, for every start and stop on lists of none to six", (kt) =>
        Effect.gen(function*() {
          let i = 0
          for (let length = 0; length <= 6; length++) {
            const items = letters.slice(0, length)
            for (const start of [undefined, ...places]) {
              for (const stop of [undefined, ...places]) {
                if (!isTried(i++)) continue
                const list = yield* filled(kt, items)
                const left = without(items, start, stop)
                const what = `[${start}:${stop}] of ${items.join("")}`
                assert.strictEqual(yield* list.removeRange(start, stop), left.length, what)
                deepStrictEqual(yield* list.getRange(), left, what)
              }
            }
          }
        }))

      test("U115 to U118, U120: every index on lists of none to six", (kt) =>
        Effect.gen(function*() {
          let i = 0
          for (let length = 0; length <= 6; length++) {
            const items = letters.slice(0, length)
            for (const place of places) {
              for (const tag of ["index", "pop", "remove", "insert", "set"] as const) {
                if (!isTried(i++)) continue
                const list = yield* filled(kt, items)
                const command: Command = tag === "insert" || tag === "set"
                  ? { place, tag, value: "x" }
                  : { place, tag }
                const [expected, left] = modelled(items, command)
                const what = `${tag} ${place} of ${items.join("")}`
                if (expected === "IndexOutOfBounds") yield* ktError(run(list, command), expected)
                else deepStrictEqual(yield* run(list, command), expected, what)
                deepStrictEqual(yield* list.getRange(), left, what)
              }
            }
          }
        }))

      test("an index that is no whole number is refused", (kt) =>
        Effect.gen(function*() {
          const list = yield* filled(kt, letters)
          for (const index of [0.5, NaN, Infinity, -Infinity, 2 ** 53]) {
            yield* ktError(list.index(index), "InvalidArgument")
            yield* ktError(list.set(index, "x"), "InvalidArgument")
            yield* ktError(list.insert(index, "x"), "InvalidArgument")
            yield* ktError(list.remove(index), "InvalidArgument")
            yield* ktError(list.pop(index), "InvalidArgument")
            yield* ktError(list.getRange(index), "InvalidArgument")
            yield* ktError(list.getRange(0, index), "InvalidArgument")
            yield* ktError(list.removeRange(index), "InvalidArgument")
            yield* ktError(list.unpack({ stop: index }), "InvalidArgument")
          }
          deepStrictEqual(yield* list.getRange(), letters)
        }))

      test("U120: popLeft and popRight take the ends, and leave an empty list", (kt) =>
        Effect.gen(function*() {
          const list = yield* filled(kt, ["a", "b", "c"])
          some(yield* list.popLeft, "a")
          some(yield* list.popRight, "c")
          some(yield* list.pop(), "b")
          nothing(yield* list.popLeft)
          some(yield* list.getRaw, [])
          assert.strictEqual(yield* stored(kt, "l"), "")
        }))

      test("U121: lpoprpush and rpoplpush move an end to another list, or rotate", (kt) =>
        Effect.gen(function*() {
          const list = yield* filled(kt, ["a", "b", "c", "d"])
          const other = kt.List("other")
          some(yield* list.lpoprpush("other"), "a")
          some(yield* list.lpoprpush("other"), "b")
          deepStrictEqual(yield* other.getRange(), ["a", "b"])
          some(yield* list.rpoplpush("other"), "d")
          deepStrictEqual(yield* other.getRange(), ["d", "a", "b"])
          deepStrictEqual(yield* list.getRange(), ["c"])
          some(yield* other.lpoprpush(), "d")
          deepStrictEqual(yield* other.getRange(), ["a", "b", "d"])
          some(yield* other.rpoplpush("other"), "d")
          deepStrictEqual(yield* other.getRange(), ["d", "a", "b"])
          some(yield* list.rpoplpush(bytes("other")), "c")
          nothing(yield* list.rpoplpush("other"))
          deepStrictEqual(yield* other.getRange(), ["c", "d", "a", "b"])
        }))

      test("U121: nothing is taken from a list, if the other one cannot have it", (kt) =>
        Effect.gen(function*() {
          const list = yield* filled(kt, ["a", "b"])
          yield* kt.set("other", "text")
          yield* ktError(list.lpoprpush("other"), "CorruptContainer")
          yield* ktError(list.rpoplpush("other"), "CorruptContainer")
          yield* invalidKey(list.lpoprpush("k".repeat(2049)))
          deepStrictEqual(yield* list.getRange(), ["a", "b"])
          some(yield* kt.get("other"), "text")
        }))

      test("U122: find, rfind and contains compare stored forms", (kt) =>
        Effect.gen(function*() {
          const list = yield* filled(kt, ["a", "b", "a", "", "é"])
          some(yield* list.find("a"), 0)
          some(yield* list.rfind("a"), 2)
          some(yield* list.find(""), 3)
          some(yield* list.rfind("é"), 4)
          nothing(yield* list.find("e\u0301"))
          nothing(yield* list.rfind("A"))
          assert.strictEqual(yield* list.contains("b"), true)
          assert.strictEqual(yield* list.contains("c"), false)
          assert.strictEqual(yield* list.length, 5)
        }))

      test("U100: the key may have the name of a parameter, and the database is that of the list", (kt) =>
        Effect.gen(function*() {
          for (const key of parameterNames) {
            const list = kt.List(key, { db: 1 })
            assert.strictEqual(yield* list.extend([key, "second", "1"]), 3)
            some(yield* list.find("second"), 1)
            some(yield* list.lpoprpush("target"), key)
            assert.strictEqual(yield* kt.exists(key), false)
          }
          assert.strictEqual(yield* kt.count(), 0)
          assert.strictEqual(yield* kt.List("key", { db: 1 }).clear, true)
          yield* ktError(kt.List("l", { db: "third" }).append("a"), "NoDatabase")
        }))
    })

    describe("expiry", () => {
      test("U100: every write keeps it", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("record", "packed")
          const list = kt.List("l")
          yield* list.extend(["x", "y", "z"])
          yield* kt.touch("l", "1 minute")
          yield* kt.List("other").append("o")
          yield* kt.touch("other", "2 minutes")
          for (const [name, write] of Object.entries(writes)) {
            yield* list.extend(["v", "w"])
            const before = yield* stored(kt, "l")
            yield* TestClock.adjust("1 second")
            yield* write(list)
            assert.notStrictEqual(yield* stored(kt, "l"), before, name)
            yield* expiresAt(kt, "l", start + 60_000, name)
            yield* expiresAt(kt, "other", start + 120_000, name)
          }
          yield* TestClock.setTime(start + 60_000)
          assert.strictEqual(yield* list.length, 0)
          assert.strictEqual(yield* list.append("new"), 1)
          yield* expiresAt(kt, "l", undefined)
          yield* list.lpoprpush("fresh")
          yield* expiresAt(kt, "fresh", undefined)
        }))

      test("U124: setRaw has it never expire", (kt) =>
        Effect.gen(function*() {
          const list = yield* filled(kt, ["a"])
          yield* kt.touch("l", "1 minute")
          yield* list.setRaw(["b"])
          yield* expiresAt(kt, "l", undefined)
        }))
    })

    describe("bytes", () => {
      test("U124: golden vectors, of setRaw, getRaw, append and getBytes", (kt) =>
        Effect.gen(function*() {
          const golden: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
            [[], ""],
            [[""], "00"],
            [["", "foo", ""], "00 03 666f6f 00"],
            [["é", "\u{1F600}", "\0"], "02 c3a9 04 f09f9880 01 00"],
            [["v".repeat(127), "v".repeat(128)], `7f ${"76".repeat(127)} 8100 ${"76".repeat(128)}`],
            [["v".repeat(16_383)], `ff7f ${"76".repeat(16_383)}`],
            [["v".repeat(16_384)], `818000 ${"76".repeat(16_384)}`]
          ]
          for (const [items, expected] of golden) {
            const digits = expected.replaceAll(" ", "")
            yield* kt.List("raw").setRaw(items)
            assert.strictEqual(yield* stored(kt, "raw"), digits)
            yield* kt.setBytes("read", unhex(expected))
            some(yield* kt.List("read").getRaw, items)
            deepStrictEqual(yield* kt.List("read").getRange(), items)
            yield* kt.remove("set")
            for (const item of items) yield* kt.List("set").append(item)
            assert.strictEqual((yield* stored(kt, "set")) ?? "", digits)
            assert.strictEqual(hex(yield* kt.serializeList(items)), digits)
            deepStrictEqual(yield* kt.deserializeList(unhex(expected)), items)
          }
        }))

      test("bytes that are no list fail every method that reads them, and stay", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("record", "packed")
          for (const digits of corrupt) {
            yield* kt.setBytes("l", unhex(digits), { expireTime: "1 hour" })
            for (const [name, method] of Object.entries(methods(kt, "l"))) {
              yield* ktError(method, "CorruptContainer")
              assert.strictEqual(yield* stored(kt, "l"), digits.replaceAll(" ", ""), name)
            }
            yield* expiresAt(kt, "l", start + 3_600_000)
          }
          assert.strictEqual(yield* kt.count(), 2)
          assert.strictEqual(yield* kt.List("l").clear, true)
        }))

      test("a key that is too long is refused by every method", (kt) =>
        Effect.gen(function*() {
          for (const method of Object.values(methods(kt, "k".repeat(2049)))) yield* invalidKey(method)
          assert.strictEqual(yield* kt.count(), 0)
        }))
    })

    describe("unpack and pack", () => {
      test("U123: unpack writes a slice under the key and a colon, or a prefix, and the indexes in a format", (kt) =>
        Effect.gen(function*() {
          const list = yield* filled(kt, letters)
          const unpacked = (options: Parameters<List["unpack"]>[0], ...expected: ReadonlyArray<string>) =>
            Effect.gen(function*() {
              assert.strictEqual(yield* list.unpack(options), expected.length)
              const keys = (yield* kt.matchPrefix("")).filter((key) => key !== "l")
              deepStrictEqual(Array.from(yield* kt.getBulk(keys), ([key, value]) => `${key}=${value}`), expected)
              yield* kt.removeBulk(keys)
            })
          yield* unpacked({ stop: 2 }, "l:0000=a", "l:0001=b")
          yield* unpacked({ prefix: "", start: 4 }, "0004=e", "0005=f")
          yield* unpacked({ prefix: unhex("2f"), start: -1 }, "/0005=f")
          yield* unpacked({ start: -8, stop: -5 }, "l:0000=a")
          yield* unpacked({ start: 3, stop: 3 })
          yield* unpacked({ start: 7 })
          yield* unpacked({ format: "%d", prefix: "i", start: -2, stop: 99 }, "i4=e", "i5=f")
          yield* unpacked({ format: "<%02x>%%", prefix: "", start: 5 }, "<05>%=f")
          yield* unpacked({ format: "%3d", prefix: "i", start: 5 }, "i  5=f")
          // What would give several items one key is none.
          for (const format of ["x", "", "%%", "%f", "%-4d"]) yield* ktError(list.unpack({ format }), "InvalidArgument")
          assert.strictEqual(yield* kt.count(), 1)
        }))

      test("U123: the order of the keys is that of the list to 9,999, and breaks there", (kt) =>
        Effect.gen(function*() {
          const list = yield* filled(kt, Array.from({ length: 10_002 }, (_, i) => `${i}`))
          assert.strictEqual(yield* list.unpack({ start: 9998 }), 4)
          deepStrictEqual(yield* kt.matchPrefix("l:"), ["l:10000", "l:10001", "l:9998", "l:9999"])
          assert.strictEqual(yield* list.unpack({ format: "%05d", prefix: "m", start: 9998 }), 4)
          deepStrictEqual(yield* kt.matchPrefix("m"), ["m09998", "m09999", "m10000", "m10001"])
        }))

      test("U123: what is unpacked does not expire, takes the place of what is there, and is all or nothing", (kt) =>
        Effect.gen(function*() {
          const list = yield* filled(kt, letters)
          yield* kt.touch("l", "1 minute")
          yield* kt.set("l:0001", "before", { expireTime: "1 minute" })
          yield* list.unpack({ start: 1, stop: 2 })
          some(yield* kt.get("l:0001"), "b")
          yield* expiresAt(kt, "l:0001", undefined)
          yield* invalidKey(list.unpack({ format: "%d", prefix: "k".repeat(2048) }))
          assert.strictEqual(yield* kt.count(), 2)
        }))

      test("U123: pack appends what is from start on, before stop, at most so many, but not itself", (kt) =>
        Effect.gen(function*() {
          for (const key of ["a", "b", "c", "d"]) yield* kt.set(key, `${key}!`)
          const packed = (options: KtCompat.PackOptions | undefined, ...expected: ReadonlyArray<string>) =>
            Effect.gen(function*() {
              const list = kt.List("bb")
              yield* list.setRaw(["kept"])
              assert.strictEqual(yield* list.pack(options), expected.length)
              deepStrictEqual(yield* list.getRange(), ["kept", ...expected])
            })
          yield* packed(undefined, "a!", "b!", "c!", "d!")
          yield* packed({ start: "b", stop: "d" }, "b!", "c!")
          yield* packed({ count: 3 }, "a!", "b!", "c!")
          yield* packed({ count: 1, start: "bb" }, "c!")
          yield* packed({ count: 0 })
          yield* packed({ start: "x" })
          for (const count of [-1, 1.5, NaN, Infinity]) yield* ktError(kt.List("bb").pack({ count }), "InvalidArgument")
          assert.strictEqual(yield* kt.List("new").pack({ start: "x" }), 0)
          nothing(yield* kt.List("new").getRaw)
        }))
    })

    describe("serializers", () => {
      test("JSON, MessagePack and none: any value is one", (kt) =>
        Effect.gen(function*() {
          const all = [null, false, 0, "", [], { a: [1, null] }]
          for (const values of [KtCompat.json, KtCompat.msgpack]) {
            const list = kt.withValues(values).List("l")
            yield* list.setRaw([])
            assert.strictEqual(yield* list.extend(all), all.length)
            deepStrictEqual(yield* list.getRange(), all)
            some(yield* list.find({ a: [1, null] }), 5)
            some(yield* list.popLeft, null)
            some(yield* list.index(0), false)
          }
          const list = kt.withValues(KtCompat.none).List("bytes")
          yield* list.extend([unhex("ff00"), new Uint8Array(0)])
          assert.strictEqual(yield* stored(kt, "bytes"), "02ff0000")
          some(yield* list.rfind(new Uint8Array(0)), 1)
        }))

      test("JSON: values are equal whatever the order of their members", (kt) =>
        Effect.gen(function*() {
          const list = kt.withValues(KtCompat.json).List("l")
          yield* list.append({ b: 1, a: 2 })
          some(yield* list.find({ a: 2, b: 1 }), 0)
          assert.strictEqual(yield* stored(kt, "l"), `0d${hex(bytes(`{"a":2,"b":1}`))}`)
        }))

      test("a Schema: what it refuses is not written; what cannot be decoded is not lost", (kt) =>
        Effect.gen(function*() {
          const list = kt.withValues(Schema.NumberFromString).List("l")
          yield* codecError(kt.withValues(Schema.Positive).List("l").extend([1, -1]))
          nothing(yield* list.getRaw)
          yield* kt.List("l").extend(["{", "\"1\"", "[", "\"2\"", "]"])
          const before = yield* stored(kt, "l")
          yield* codecError(list.popLeft)
          yield* codecError(list.popRight)
          yield* codecError(list.pop())
          for (const index of [0, 2, 4, -1, -3, -5]) {
            yield* codecError(list.pop(index))
            yield* codecError(list.remove(index))
            yield* codecError(list.index(index))
            assert.strictEqual(yield* stored(kt, "l"), before, `${index}`)
          }
          yield* codecError(list.getRange())
          yield* codecError(list.getRaw)
          deepStrictEqual(yield* list.getRange(1, 2), [1])
          some(yield* list.pop(-2), 2)
        }))
    })

    describe("together", () => {
      test("U121: each of a hundred items is moved once, to whoever asks", (kt) =>
        Effect.gen(function*() {
          const list = yield* filled(kt, Array.from({ length: 100 }, (_, i) => `${i}`))
          const moves = Array.from({ length: 120 }, (_, i) => i % 2 === 0 ? list.lpoprpush("other") : list.popRight)
          const moved = yield* Effect.all(moves, { concurrency: "unbounded" })
          assert.strictEqual(new Set(moved.flatMap(Option.toArray)).size, 100)
          assert.strictEqual(moved.filter(Option.isSome).length, 100)
          assert.strictEqual(yield* list.length, 0)
        }))

      test("in a transaction that is rolled back nothing was moved", (kt) =>
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const list = yield* filled(kt, ["a", "b"])
          yield* Effect.flip(
            storage.transaction(Effect.zipRight(list.lpoprpush("other"), Effect.fail("back")))
          )
          deepStrictEqual(yield* list.getRange(), ["a", "b"])
          nothing(yield* kt.List("other").getRaw)
        }))

      test("agrees with a plain array, whatever is done", (kt) =>
        holds(runsOn(engine, 100), fc.array(command, { maxLength: 25 }), (commands, number) =>
          Effect.gen(function*() {
            const list = kt.List(`l${number}`)
            let model: ReadonlyArray<string> = []
            for (const command of commands) {
              const [expected, next] = modelled(model, command)
              if (expected === "IndexOutOfBounds") yield* ktError(run(list, command), expected)
              else deepStrictEqual(yield* run(list, command), expected, JSON.stringify([model, command]))
              model = next
            }
            deepStrictEqual(yield* list.getRange(), model)
          })))
    })
  })
