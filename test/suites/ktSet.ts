/** What KtCompat promises of sets. */
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

/** What is no set. */
const corrupt = ["00", "0100", "01016161ff", "80", "0001 61 80", "ffffffffffffffff7f01 61", hex(bytes("plain text"))]

/** Every method that reads a set. */
const methods = (kt: Text, key: string): Record<string, Effect.Effect<unknown, KtCompat.Failure>> => {
  const set = kt.Set(key)
  return {
    add: set.add("a"),
    addBulk: set.addBulk(["a"]),
    contains: set.contains("a"),
    count: set.count,
    difference: set.difference("other", "target"),
    intersection: set.intersection("other", "target"),
    isOtherOf: kt.Set("other").union(key, "target"),
    isOtherOfDifference: kt.Set("other").difference(key),
    members: set.members,
    pop: set.pop,
    remove: set.remove("a"),
    removeBulk: set.removeBulk(["a"]),
    union: set.union("other", "target"),
    unionAlone: set.union("other")
  }
}

const sorted = <A>(members: Iterable<A>): ReadonlyArray<A> => [...members].sort()

const member = fc.constantFrom("", "a", "b", "c", "db", "é")
const members = fc.array(member, { maxLength: 4 })
const which = fc.nat(2)
const command = fc.oneof(
  fc.record({ members, tag: oneOf("add", "addBulk", "remove", "removeBulk"), which }),
  fc.record({ member, tag: oneOf("contains"), which }),
  fc.record({ tag: oneOf("count", "members", "pop", "clear"), which }),
  fc.record({
    dest: fc.option(which, { nil: undefined }),
    other: which,
    tag: oneOf("intersection", "union", "difference"),
    which
  })
)
type Command = typeof command extends fc.Arbitrary<infer A> ? A : never

const combined = (tag: "intersection" | "union" | "difference", a: ReadonlySet<string>, b: ReadonlySet<string>) =>
  new Set(
    tag === "union"
      ? [...a, ...b]
      : [...a].filter((member) => b.has(member) === (tag === "intersection"))
  )

/** Runs a command on one of three sets, and on plain ones: they must agree. */
const agrees = (kt: Text, keyOf: (which: number) => string, models: Array<Set<string>>, command: Command) =>
  Effect.gen(function*() {
    const set = kt.Set(keyOf(command.which))
    const model = models[command.which]!
    const size = model.size
    switch (command.tag) {
      case "add":
      case "addBulk": {
        for (const member of command.members) model.add(member)
        const added = command.tag === "add" ? set.add(...command.members) : set.addBulk(command.members)
        return assert.strictEqual(yield* added, model.size - size)
      }
      case "remove":
      case "removeBulk": {
        for (const member of command.members) model.delete(member)
        const removed = command.tag === "remove" ? set.remove(...command.members) : set.removeBulk(command.members)
        return assert.strictEqual(yield* removed, size - model.size)
      }
      case "contains":
        return assert.strictEqual(yield* set.contains(command.member), model.has(command.member))
      case "count":
        return assert.strictEqual(yield* set.count, size)
      case "members":
        return deepStrictEqual(sorted(yield* set.members), sorted(model))
      case "pop": {
        const popped = yield* set.pop
        assert.strictEqual(Option.isSome(popped), size > 0)
        return assert.isTrue(Option.isNone(popped) || model.delete(popped.value))
      }
      case "clear":
        yield* set.clear
        return model.clear()
      default: {
        const { dest, other, tag } = command
        const expected = combined(tag, model, models[other]!)
        const answer = yield* set[tag](keyOf(other), dest === undefined ? undefined : keyOf(dest))
        if (dest !== undefined) models[dest] = expected
        return deepStrictEqual(sorted(answer), sorted(expected))
      }
    }
  })

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat.Set", () => {
    const test = testOn(engine)

    describe("methods", () => {
      test("U111: add and addBulk tell how many are new, remove and removeBulk how many were there", (kt) =>
        Effect.gen(function*() {
          const set = kt.Set("s")
          assert.strictEqual(yield* set.add("a"), 1)
          assert.strictEqual(yield* set.add("a", "b", "b", "c"), 2)
          assert.strictEqual(yield* set.addBulk(new Set(["c", "d", ""])), 2)
          assert.strictEqual(yield* set.add(), 0)
          assert.strictEqual(yield* set.addBulk([]), 0)
          deepStrictEqual(sorted(yield* set.members), ["", "a", "b", "c", "d"])
          assert.strictEqual(yield* set.count, 5)
          assert.strictEqual(yield* set.remove("a"), 1)
          assert.strictEqual(yield* set.remove("a", "b", "b", "x"), 1)
          assert.strictEqual(yield* set.removeBulk(["c", "d"]), 2)
          assert.strictEqual(yield* set.remove(), 0)
          deepStrictEqual(yield* set.members, [""])
          assert.strictEqual(yield* set.contains(""), true)
          assert.strictEqual(yield* set.contains("a"), false)
        }))

      test("U111: a set that is not there is empty, and nothing makes it but a member", (kt) =>
        Effect.gen(function*() {
          const set = kt.Set("s")
          deepStrictEqual(yield* set.members, [])
          assert.strictEqual(yield* set.count, 0)
          assert.strictEqual(yield* set.contains("a"), false)
          assert.strictEqual(yield* set.remove("a"), 0)
          assert.strictEqual(yield* set.addBulk([]), 0)
          nothing(yield* set.pop)
          assert.strictEqual(yield* set.clear, false)
          deepStrictEqual(yield* set.union("other"), [])
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("U111: pop takes each member once, and None when there is none", (kt) =>
        Effect.gen(function*() {
          const set = kt.Set("s")
          yield* set.add("a", "b", "c")
          const popped = [yield* set.pop, yield* set.pop, yield* set.pop]
          deepStrictEqual(sorted(popped.flatMap(Option.toArray)), ["a", "b", "c"])
          nothing(yield* set.pop)
          assert.strictEqual(yield* stored(kt, "s"), "")
          assert.strictEqual(yield* set.clear, true)
        }))

      test("U112: intersection, union and difference of all kinds of two sets", (kt) =>
        Effect.gen(function*() {
          yield* kt.Set("ab").add("a", "b")
          yield* kt.Set("bc").add("b", "c")
          const all: ReadonlyArray<readonly [string, string, string, string, string]> = [
            ["ab", "bc", "b", "abc", "a"],
            ["bc", "ab", "b", "abc", "c"],
            ["ab", "ab", "ab", "ab", ""],
            ["ab", "none", "", "ab", "ab"],
            ["none", "ab", "", "ab", ""],
            ["none", "none", "", "", ""]
          ]
          for (const [one, other, intersection, union, difference] of all) {
            for (const dest of [undefined, "dest"]) {
              const set = kt.Set(one)
              const written = (expected: string) =>
                Effect.gen(function*() {
                  if (dest === undefined) return
                  assert.strictEqual(yield* kt.exists(dest), true)
                  assert.strictEqual(sorted(yield* kt.Set(dest).members).join(""), expected)
                })
              assert.strictEqual(sorted(yield* set.intersection(other, dest)).join(""), intersection)
              yield* written(intersection)
              assert.strictEqual(sorted(yield* set.union(bytes(other), dest)).join(""), union)
              yield* written(union)
              assert.strictEqual(sorted(yield* set.difference(other, dest)).join(""), difference)
              yield* written(difference)
            }
          }
        }))

      test("U112: what is written does not expire, takes the place of what is there, also of the sets themselves", (kt) =>
        Effect.gen(function*() {
          yield* kt.Set("a").add("1", "2")
          yield* kt.Set("b").add("2", "3")
          yield* kt.touch("b", "1 minute")
          yield* kt.set("dest", "no set at all", { expireTime: "1 minute" })
          yield* kt.Set("a").union("b", "dest")
          yield* expiresAt(kt, "dest", undefined)
          assert.strictEqual(yield* kt.Set("dest").count, 3)
          yield* kt.Set("a").difference("b", "a")
          deepStrictEqual(yield* kt.Set("a").members, ["1"])
          yield* kt.Set("a").union("b", "b")
          deepStrictEqual(sorted(yield* kt.Set("b").members), ["1", "2", "3"])
          yield* expiresAt(kt, "b", undefined)
        }))

      test("U100: a member may have the name of any parameter", (kt) =>
        Effect.gen(function*() {
          const set = kt.Set("s")
          for (const name of parameterNames) assert.strictEqual(yield* set.add(name), 1, name)
          assert.strictEqual(yield* set.addBulk(parameterNames), 0)
          for (const name of parameterNames) assert.strictEqual(yield* set.contains(name), true, name)
          deepStrictEqual(sorted(yield* set.members), sorted(parameterNames))
          deepStrictEqual(sorted(yield* set.union("other")), sorted(parameterNames))
          for (const name of parameterNames) assert.strictEqual(yield* set.remove(name), 1, name)
          assert.strictEqual(yield* kt.count({ db: 1 }), 0)
        }))

      test("U100: a key that is touched may have the name of any parameter", (kt) =>
        Effect.gen(function*() {
          for (const name of parameterNames) yield* kt.set(name, "1")
          assert.strictEqual((yield* kt.touchBulk(parameterNames, "1 minute")).size, parameterNames.length)
          for (const name of parameterNames) yield* expiresAt(kt, name, start + 60_000, name)
          assert.strictEqual((yield* kt.touchBulkRelative(parameterNames, 60)).size, parameterNames.length)
          for (const name of parameterNames) yield* expiresAt(kt, name, start + 120_000, name)
        }))

      test("U100: all is about the database of the set", (kt) =>
        Effect.gen(function*() {
          yield* kt.Set("s").add("a")
          yield* kt.Set("s", { db: 1 }).add("b")
          yield* kt.Set("t", { db: "b" }).add("c")
          deepStrictEqual(sorted(yield* kt.Set("s", { db: 1 }).union("t", "dest")), ["b", "c"])
          assert.strictEqual(yield* kt.exists("dest"), false)
          assert.strictEqual(yield* kt.Set("dest", { db: 1 }).count, 2)
          assert.strictEqual(yield* kt.Set("s", { db: 1 }).clear, true)
          deepStrictEqual(yield* kt.Set("s").members, ["a"])
          yield* ktError(kt.Set("s", { db: -1 }).add("a"), "NoDatabase")
        }))
    })

    describe("expiry", () => {
      test("U100: every write keeps it, and what is written after it does not expire", (kt) =>
        Effect.gen(function*() {
          const set = kt.Set("s")
          const writes: Record<string, Effect.Effect<unknown, KtCompat.Failure>> = {
            add: set.add("x"),
            addBulk: set.addBulk(["y"]),
            pop: set.pop,
            remove: set.remove("a"),
            removeBulk: set.removeBulk(["b", "c"])
          }
          yield* set.add("a", "b", "c")
          yield* kt.touch("s", "1 minute")
          for (const [name, write] of Object.entries(writes)) {
            yield* set.add("a", "b", "c")
            const before = yield* stored(kt, "s")
            yield* TestClock.adjust("1 second")
            yield* write
            assert.notStrictEqual(yield* stored(kt, "s"), before, name)
            yield* expiresAt(kt, "s", start + 60_000, name)
          }
          yield* TestClock.setTime(start + 60_000)
          deepStrictEqual(yield* set.members, [])
          deepStrictEqual(yield* kt.Set("t").union("s"), [])
          nothing(yield* set.pop)
          assert.strictEqual(yield* set.add("new"), 1)
          yield* expiresAt(kt, "s", undefined)
        }))
    })

    describe("bytes", () => {
      test("U111: golden vectors: the bytes of a hash whose values are empty", (kt) =>
        Effect.gen(function*() {
          const golden: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
            [[""], "00 00"],
            [["foo"], "03 00 666f6f"],
            [["b", "a", "é"], "01 00 62  01 00 61  02 00 c3a9"],
            [["m".repeat(128)], `8100 00 ${"6d".repeat(128)}`]
          ]
          for (const [members, expected] of golden) {
            yield* kt.Set("written").clear
            yield* kt.Set("written").addBulk(members)
            assert.strictEqual(yield* stored(kt, "written"), expected.replaceAll(" ", ""))
            yield* kt.setBytes("read", unhex(expected))
            deepStrictEqual(sorted(yield* kt.Set("read").members), sorted(members))
            some(yield* kt.Hash("read").getRaw, new Map(members.map((member) => [member, ""])))
          }
        }))

      test("bytes that are no set fail every method that reads them, and stay", (kt) =>
        Effect.gen(function*() {
          yield* kt.Set("other").add("a")
          yield* kt.set("target", "as it was")
          for (const digits of corrupt) {
            yield* kt.setBytes("s", unhex(digits), { expireTime: "1 hour" })
            for (const [name, method] of Object.entries(methods(kt, "s"))) {
              yield* ktError(method, "CorruptContainer")
              assert.strictEqual(yield* stored(kt, "s"), digits.replaceAll(" ", ""), name)
            }
            yield* expiresAt(kt, "s", start + 3_600_000)
          }
          some(yield* kt.get("target"), "as it was")
          deepStrictEqual(yield* kt.Set("other").members, ["a"])
          assert.strictEqual(yield* kt.Set("s").clear, true)
        }))

      test("a key that is too long is refused by every method", (kt) =>
        Effect.gen(function*() {
          const long = "k".repeat(2049)
          for (const method of Object.values(methods(kt, long))) yield* invalidKey(method)
          yield* kt.Set("s").add("a")
          yield* invalidKey(kt.Set("s").union("other", long))
          assert.strictEqual(yield* kt.count(), 1)
        }))
    })

    describe("serializers", () => {
      test("JSON and MessagePack: values are the same if their stored forms are", (kt) =>
        Effect.gen(function*() {
          const json = kt.withValues(KtCompat.json).Set("json")
          assert.strictEqual(yield* json.add(1, "1", true, null, { a: 1, b: 2 }, { b: 2, a: 1 }, [], 1), 6)
          assert.strictEqual(yield* json.contains({ b: 2, a: 1 }), true)
          assert.strictEqual(yield* json.contains(null), true)
          assert.strictEqual(yield* json.contains("true"), false)
          assert.strictEqual(yield* json.remove(null, "1"), 2)
          const msgpack = kt.withValues(KtCompat.msgpack).Set("msgpack")
          assert.strictEqual(yield* msgpack.add(1, "1", null, [1]), 4)
          assert.strictEqual(yield* msgpack.contains([1]), true)
          deepStrictEqual(new Set(yield* msgpack.members), new Set([1, "1", null, [1]]))
          assert.strictEqual(yield* stored(kt, "msgpack"), "010001" + "0200a131" + "0100c0" + "02009101")
        }))

      test("none: bytes as they are", (kt) =>
        Effect.gen(function*() {
          const set = kt.withValues(KtCompat.none).Set("s")
          assert.strictEqual(yield* set.add(unhex("ff"), unhex("00ff"), unhex("ff"), new Uint8Array(0)), 3)
          deepStrictEqual(sorted((yield* set.members).map(hex)), ["", "00ff", "ff"])
          assert.strictEqual(yield* set.contains(unhex("00ff")), true)
        }))

      test("a Schema: what it refuses is not written; what cannot be decoded is not lost", (kt) =>
        Effect.gen(function*() {
          const set = kt.withValues(Schema.Positive).Set("s")
          yield* codecError(set.add(1, -1))
          yield* codecError(set.contains(-1))
          assert.strictEqual(yield* kt.exists("s"), false)
          yield* kt.Set("s").add("{")
          yield* kt.touch("s", "1 minute")
          yield* codecError(set.pop)
          yield* codecError(set.members)
          yield* codecError(set.union("other"))
          assert.strictEqual(yield* stored(kt, "s"), "01007b")
          yield* expiresAt(kt, "s", start + 60_000)
          assert.strictEqual(yield* set.add(1), 1)
          assert.strictEqual(yield* set.count, 2)
        }))
    })

    describe("together", () => {
      test("U111: of a hundred who pop, each gets another member", (kt) =>
        Effect.gen(function*() {
          const set = kt.Set("s")
          yield* Effect.forEach(Array.from({ length: 80 }, (_, i) => `${i}`), (member) => set.add(member), {
            concurrency: "unbounded"
          })
          const popped = yield* Effect.replicateEffect(set.pop, 100, { concurrency: "unbounded" })
          assert.strictEqual(new Set(popped.flatMap(Option.toArray)).size, 80)
          assert.strictEqual(popped.filter(Option.isSome).length, 80)
        }))

      test("in a transaction that is rolled back nothing was written", (kt) =>
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          yield* kt.Set("s").add("a")
          const failing = Effect.zipRight(
            kt.Set("s").union("s", "dest"),
            Effect.zipRight(kt.Set("s").pop, Effect.fail(0))
          )
          yield* Effect.flip(storage.transaction(failing))
          deepStrictEqual(yield* kt.Set("s").members, ["a"])
          assert.strictEqual(yield* kt.exists("dest"), false)
        }))

      test("agrees with plain sets, whatever is done", (kt) =>
        holds(runsOn(engine, 100), fc.array(command, { maxLength: 25 }), (commands, run) =>
          Effect.gen(function*() {
            const models = [new Set<string>(), new Set<string>(), new Set<string>()]
            const keyOf = (which: number) => `s${run} ${which}`
            for (const command of commands) yield* agrees(kt, keyOf, models, command)
            for (const [i, model] of models.entries()) {
              deepStrictEqual(sorted(yield* kt.Set(keyOf(i)).members), sorted(model))
            }
          })))
    })
  })
