/** What KtCompat promises of schedules. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Clock, DateTime, Effect, FastCheck as fc, Schema, TestClock } from "effect"
import { KtCompat, Storage } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import {
  codecError,
  expiresAt,
  holds,
  invalidKey,
  ktError,
  latin1,
  oneOf,
  parameterNames,
  runsOn,
  some,
  start,
  stored,
  testOn,
  type Text
} from "../ktContainers.js"

const greatest = 999_999_999_999

/** Every method. */
const methods = (kt: Text, key: string): Record<string, Effect.Effect<unknown, KtCompat.Failure>> => {
  const schedule = kt.Schedule(key)
  return {
    add: schedule.add("1"),
    clear: schedule.clear,
    count: schedule.count,
    items: schedule.items(),
    read: schedule.read()
  }
}

const due = fc.constantFrom(0, 1, 2, 3, 10, greatest)
const item = fc.constantFrom("", "a", "b")
const n = fc.option(fc.nat(3), { nil: undefined })
const command = fc.oneof(
  { arbitrary: fc.record({ due, item, tag: oneOf("add") }), weight: 3 },
  fc.record({ due: fc.option(due, { nil: undefined }), n, tag: oneOf("read") }),
  fc.record({ n, tag: oneOf("items") }),
  fc.record({ tag: oneOf("count", "clear") })
)
type Command = typeof command extends fc.Arbitrary<infer A> ? A : never

interface Item {
  readonly due: number
  readonly id: number
  readonly item: string
}

/** What a command answers, and what there is then, in order. */
const modelled = (
  items: ReadonlyArray<Item>,
  id: number,
  command: Command
): readonly [unknown, ReadonlyArray<Item>] => {
  const texts = (items: ReadonlyArray<Item>) => items.map(({ item }) => item)
  switch (command.tag) {
    case "add":
      return [undefined, [...items, { ...command, id }].sort((a, b) => a.due - b.due || a.id - b.id)]
    case "read": {
      const read = items.filter(({ due }) => due <= (command.due ?? greatest)).slice(0, command.n)
      return [texts(read), items.filter((item) => !read.includes(item))]
    }
    case "items":
      return [texts(items.slice(0, command.n)), items]
    case "count":
      return [items.length, items]
    case "clear":
      return [items.length, []]
  }
}

const run = (
  schedule: KtCompat.Schedule<string>,
  command: Command
): Effect.Effect<unknown, KtCompat.Failure> => {
  switch (command.tag) {
    case "add":
      return Effect.asVoid(schedule.add(command.item, command.due))
    case "read":
      return schedule.read({ due: command.due, n: command.n })
    case "items":
      return schedule.items(command.n)
    case "count":
      return schedule.count
    case "clear":
      return schedule.clear
  }
}

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat.Schedule", () => {
    const test = testOn(engine)

    describe("methods", () => {
      test("U142: add tells the key: the name, a tab, the time and the number; 0 by default", (kt) =>
        Effect.gen(function*() {
          const schedule = kt.Schedule("s")
          assert.strictEqual(latin1(yield* schedule.add("a")), "s\t000000000000000000000001")
          assert.strictEqual(latin1(yield* schedule.add("b", 1_600_000_000)), "s\t001600000000000000000002")
          assert.strictEqual(latin1(yield* schedule.add("c", greatest)), "s\t999999999999000000000003")
          assert.strictEqual(latin1(yield* schedule.add("d", undefined)), "s\t000000000000000000000004")
          assert.strictEqual(yield* stored(kt, "s"), "0000000000000004" + "0000000000000000")
          some(yield* kt.get("s\t001600000000000000000002"), "b")
          yield* expiresAt(kt, "s\t001600000000000000000002", undefined)
          yield* expiresAt(kt, "s", undefined)
          deepStrictEqual(yield* schedule.items(), ["a", "d", "b", "c"])
        }))

      test("U143: read takes what is due, the earliest first, at most n", (kt) =>
        Effect.gen(function*() {
          const schedule = kt.Schedule("s")
          for (const due of [30, 10, 20, 10, 40]) yield* schedule.add(`at ${due}`, due)
          deepStrictEqual(yield* schedule.read({ due: 9 }), [])
          deepStrictEqual(yield* schedule.read({ due: 20, n: 0 }), [])
          deepStrictEqual(yield* schedule.read({ due: 20, n: 2 }), ["at 10", "at 10"])
          deepStrictEqual(yield* schedule.read({ due: 20, n: 2 }), ["at 20"])
          deepStrictEqual(yield* schedule.read({ n: 1 }), ["at 30"])
          deepStrictEqual(yield* schedule.read(), ["at 40"])
          deepStrictEqual(yield* schedule.read(), [])
        }))

      test("U143: by default all is read, also what is due after 2106", (kt) =>
        Effect.gen(function*() {
          const schedule = kt.Schedule("s")
          yield* schedule.add("now", 1)
          yield* schedule.add("in 2106", 0x1_0000_0000)
          yield* schedule.add("at last", greatest)
          deepStrictEqual(yield* schedule.read({ due: 0x1_0000_0000 - 1 }), ["now"])
          deepStrictEqual(yield* schedule.read({ due: 0x1_0000_0000 }), ["in 2106"])
          deepStrictEqual(yield* schedule.read(), ["at last"])
        }))

      test("U142: a DateTime is a time; nothing is given out before it is due", (kt) =>
        Effect.gen(function*() {
          const schedule = kt.Schedule("s")
          const at = (millis: number) => DateTime.unsafeMake(start + millis)
          yield* schedule.add("in a minute", at(60_000))
          yield* schedule.add("soon", at(100))
          yield* schedule.add("long ago", DateTime.unsafeMake(0))
          yield* schedule.add("elsewhere", DateTime.unsafeMakeZoned(start + 30_000, { timeZone: "Asia/Tokyo" }))
          const due = Effect.flatMap(Clock.currentTimeMillis, (now) => schedule.read({ due: DateTime.unsafeMake(now) }))
          deepStrictEqual(yield* due, ["long ago"])
          yield* TestClock.adjust("99 millis")
          deepStrictEqual(yield* due, [])
          yield* TestClock.adjust("901 millis")
          deepStrictEqual(yield* due, ["soon"])
          yield* TestClock.setTime(start + 29_999)
          deepStrictEqual(yield* due, [])
          yield* TestClock.setTime(start + 31_000)
          deepStrictEqual(yield* due, ["elsewhere"])
          yield* TestClock.setTime(start + 59_999)
          deepStrictEqual(yield* due, [])
          yield* TestClock.setTime(start + 61_000)
          deepStrictEqual(yield* due, ["in a minute"])
          // Seconds and times are the same scale.
          yield* schedule.add("seconds", 1_700_000_000)
          deepStrictEqual(yield* schedule.read({ due: DateTime.unsafeMake(1_699_999_999_999) }), [])
          deepStrictEqual(yield* schedule.read({ due: DateTime.unsafeMake(1_700_000_000_000) }), ["seconds"])
        }))

      test("U142: a time is a whole number in its bounds: milliseconds since the epoch are refused", (kt) =>
        Effect.gen(function*() {
          const schedule = kt.Schedule("s")
          for (const due of [start, greatest + 1, -1, 1.5, NaN, Infinity, -Infinity]) {
            yield* ktError(schedule.add("a", due), "InvalidArgument")
            yield* ktError(schedule.read({ due }), "InvalidArgument")
          }
          for (const n of [-1, 1.5, NaN, Infinity]) {
            yield* ktError(schedule.read({ n }), "InvalidArgument")
            yield* ktError(schedule.items(n), "InvalidArgument")
          }
          yield* ktError(schedule.add("a", DateTime.unsafeMake(-1000)), "InvalidArgument")
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("U144: items and count take nothing, and make nothing", (kt) =>
        Effect.gen(function*() {
          const schedule = kt.Schedule("s")
          deepStrictEqual(yield* schedule.items(), [])
          assert.strictEqual(yield* schedule.count, 0)
          assert.strictEqual(yield* schedule.clear, 0)
          deepStrictEqual(yield* schedule.read(), [])
          assert.strictEqual(yield* kt.count(), 0)
          for (const due of [3, 1, 2]) yield* schedule.add(`${due}`, due)
          deepStrictEqual(yield* schedule.items(), ["1", "2", "3"])
          deepStrictEqual(yield* schedule.items(2), ["1", "2"])
          deepStrictEqual(yield* schedule.items(0), [])
          assert.strictEqual(yield* schedule.count, 3)
        }))

      test("U144: clear removes its items, counts them, and leaves all else", (kt) =>
        Effect.gen(function*() {
          const others = ["s\0", "sX", "s ", "S", "s:", "s\n", "", "s\b\t1"]
          for (const key of others) yield* kt.set(key, "a record")
          yield* kt.Schedule("s2").add("another", 1)
          const schedule = kt.Schedule("s")
          yield* schedule.add("a", 1)
          yield* schedule.add("b", greatest)
          assert.strictEqual(yield* schedule.count, 2)
          deepStrictEqual(yield* schedule.items(), ["a", "b"])
          assert.strictEqual(yield* schedule.clear, 2)
          assert.strictEqual(yield* schedule.clear, 0)
          assert.strictEqual(yield* schedule.count, 0)
          assert.strictEqual((yield* kt.getBulk(others)).size, others.length)
          deepStrictEqual(yield* kt.Schedule("s2").read(), ["another"])
        }))

      test("a name with a tab is refused, and one that leaves no room", (kt) =>
        Effect.gen(function*() {
          for (const name of ["a\t", "\t", "a\t1"]) {
            for (const [method, effect] of Object.entries(methods(kt, name))) {
              assert.include((yield* ktError(effect, "InvalidArgument")).message, "tab", method)
            }
          }
          yield* invalidKey(kt.Schedule("k".repeat(2048 - 24)).add("a"))
          yield* kt.set("s", "a record")
          yield* ktError(kt.Schedule("s").add("a"), "NotANumber")
          assert.strictEqual(yield* kt.count(), 1)
        }))

      test("any other text is a name; all is about the database of the schedule", (kt) =>
        Effect.gen(function*() {
          const names = ["a-b", "(", "%d", "", "é", "a", "ab", ...parameterNames]
          for (const name of names) yield* kt.Schedule(name, { db: 1 }).add(`of ${name}`, 5)
          assert.strictEqual(yield* kt.count(), 0)
          for (const name of names) {
            deepStrictEqual(yield* kt.Schedule(name).items(), [])
            deepStrictEqual(yield* kt.Schedule(name, { db: 1 }).items(), [`of ${name}`])
            deepStrictEqual(yield* kt.Schedule(name, { db: "b" }).read({ due: 5 }), [`of ${name}`])
          }
        }))
    })

    describe("serializers", () => {
      test("JSON, MessagePack and none: any value is an item", (kt) =>
        Effect.gen(function*() {
          const items = [null, false, 0, "", { a: [1] }]
          for (const values of [KtCompat.json, KtCompat.msgpack]) {
            const schedule = kt.withValues(values).Schedule("s")
            for (const item of items) yield* schedule.add(item)
            deepStrictEqual(yield* schedule.items(), items)
            deepStrictEqual(yield* schedule.read(), items)
          }
          yield* kt.withValues(KtCompat.none).Schedule("s").add(new Uint8Array(0))
          assert.strictEqual(yield* kt.Schedule("s").clear, 1)
        }))

      test("what a Schema refuses is not written, and what cannot be decoded is put back at its place", (kt) =>
        Effect.gen(function*() {
          const schedule = kt.withValues(Schema.Positive).Schedule("s")
          yield* codecError(schedule.add(-1))
          assert.strictEqual(yield* kt.count(), 0)
          yield* schedule.add(1, 1)
          yield* kt.Schedule("s").add("{", 2)
          yield* schedule.add(3, 3)
          const before = yield* kt.matchPrefix("")
          yield* codecError(schedule.read())
          yield* codecError(schedule.items())
          deepStrictEqual(yield* kt.matchPrefix(""), before)
          deepStrictEqual(yield* schedule.read({ due: 1 }), [1])
          yield* codecError(schedule.read({ n: 1 }))
          deepStrictEqual(yield* kt.Schedule("s").read(), ["{", "3"])
        }))
    })

    describe("together", () => {
      test("U143: each item goes to exactly one of those who read", (kt) =>
        Effect.gen(function*() {
          const schedule = kt.Schedule("s")
          yield* Effect.forEach(Array.from({ length: 50 }, (_, i) => i), (i) => schedule.add(`${i}`, i), {
            concurrency: "unbounded"
          })
          const read = yield* Effect.replicateEffect(schedule.read({ n: 3 }), 20, { concurrency: "unbounded" })
          deepStrictEqual(read.flat().map(Number).sort((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i))
        }))

      test("in a transaction that is rolled back nothing was read or added", (kt) =>
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const schedule = kt.Schedule("s")
          yield* schedule.add("a")
          const all = Effect.all([schedule.read(), schedule.add("b", 1), schedule.clear])
          yield* Effect.flip(storage.transaction(Effect.zipRight(all, Effect.fail("back"))))
          deepStrictEqual(yield* schedule.items(), ["a"])
          assert.strictEqual(latin1(yield* schedule.add("c")), "s\t000000000000000000000002")
        }))

      test("agrees with a plain array, whatever is done", (kt) =>
        holds(runsOn(engine, 100), fc.array(command, { maxLength: 25 }), (commands, number) =>
          Effect.gen(function*() {
            let items: ReadonlyArray<Item> = []
            let id = 0
            for (const command of commands) {
              const [expected, next] = modelled(items, id++, command)
              deepStrictEqual(yield* run(kt.Schedule(`s${number}`), command), expected, JSON.stringify(command))
              items = next
            }
            deepStrictEqual(yield* kt.Schedule(`s${number}`).items(), items.map(({ item }) => item))
          })))
    })
  })
