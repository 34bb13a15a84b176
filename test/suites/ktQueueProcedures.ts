/** The built-in procedures of queues and schedules, as `rawScript` calls them: what they answer is what the original does. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect } from "effect"
import { describeOn, type Engine } from "../engines.js"
import { answers, ktError, ordinals, raw, stored, testOn, type Text } from "../ktContainers.js"

export const suite = (engine: Engine) =>
  describeOn(engine, "queue procedures of KtCompat", () => {
    const test = testOn(engine)
    const queue = { queue: "q" }
    const filled = (kt: Text) => answers(kt, "queue_madd", { ...queue, 0: "a", 1: "b", 2: "c" }, { num: "3" })

    describe("queues", () => {
      test("queue_add, queue_madd, queue_size and queue_clear", (kt) =>
        Effect.gen(function*() {
          yield* answers(kt, "queue_size", queue, { num: "0" })
          yield* answers(kt, "queue_madd", queue, { num: "0" })
          assert.strictEqual(yield* kt.count(), 0)
          yield* answers(kt, "queue_add", { ...queue, data: "" }, { id: "1" })
          yield* answers(kt, "queue_add", { ...queue, data: "b", score: "2" }, { id: "2" })
          yield* answers(kt, "queue_madd", { ...queue, 0: "c", 1: "d", 3: "after a gap", score: "1" }, { num: "2" })
          yield* answers(kt, "queue_size", queue, { num: "4" })
          yield* answers(kt, "queue_peek", { ...queue, n: "9" }, { 0: "b", 1: "c", 2: "d", 3: "" })
          yield* answers(kt, "queue_clear", queue, { num: "4" })
          yield* answers(kt, "queue_clear", queue, { num: "0" })
          yield* answers(kt, "queue_add", { ...queue, data: "a" }, { id: "1" })
        }))

      test("a score that is junk is 0, and a fraction counts up to the next", (kt) =>
        Effect.gen(function*() {
          for (const score of ["junk", "", "0", "-0", " 1.5 ", "0x10", "-3"]) {
            yield* raw(kt, "queue_add", { ...queue, data: score, score })
          }
          deepStrictEqual((yield* kt.matchPrefix("q\t")).map((key) => key.slice(2, 14)), [
            "499999999984",
            "499999999998",
            "500000000000",
            "500000000000",
            "500000000000",
            "500000000000",
            "500000000003"
          ])
          yield* answers(kt, "queue_peek", { ...queue, min_score: "2", n: "9" }, { 0: "0x10", 1: " 1.5 " })
        }))

      test("queue_pop and queue_rpop: 1 by default or by junk; 0 are none; below 0, or a fraction, are all", (kt) =>
        Effect.gen(function*() {
          for (
            const [n, forward, backward] of [
              [undefined, "a", "c"],
              ["junk", "a", "c"],
              ["1", "a", "c"],
              ["2", "ab", "cb"],
              ["0", "", ""],
              ["-1", "abc", "cba"],
              ["1.5", "abc", "cba"],
              ["100", "abc", "cba"]
            ] as const
          ) {
            const call = n === undefined ? queue : { ...queue, n }
            for (
              const [name, peek, expected] of [
                ["queue_pop", "queue_peek", forward],
                ["queue_rpop", "queue_rpeek", backward]
              ] as const
            ) {
              yield* filled(kt)
              yield* answers(kt, peek, call, ordinals(expected))
              yield* answers(kt, "queue_size", queue, { num: "3" })
              yield* answers(kt, name, call, ordinals(expected))
              yield* answers(kt, "queue_clear", queue, { num: `${3 - expected.length}` })
            }
          }
        }))

      test("more than ten items have ordinals as names", (kt) =>
        Effect.gen(function*() {
          const items = Array.from({ length: 12 }, (_, i) => `item ${i}`)
          yield* answers(kt, "queue_madd", { ...queue, ...ordinals(items) }, { num: "12" })
          yield* answers(kt, "queue_pop", { ...queue, n: "11" }, ordinals(items.slice(0, 11)))
        }))

      test("queue_remove and queue_rremove", (kt) =>
        Effect.gen(function*() {
          yield* answers(kt, "queue_madd", { ...queue, 0: "x", 1: "y", 2: "x", 3: "z", 4: "x" }, { num: "5" })
          yield* answers(kt, "queue_add", { ...queue, data: "x", score: "1" }, { id: "6" })
          const data = { ...queue, data: "x" }
          yield* answers(kt, "queue_remove", { ...data, n: "0" }, { num: "0" })
          yield* answers(kt, "queue_remove", { ...data, min_score: "1" }, { num: "1" })
          yield* answers(kt, "queue_remove", { ...data, n: "1" }, { num: "1" })
          yield* answers(kt, "queue_peek", { ...queue, n: "-1" }, { 0: "y", 1: "x", 2: "z", 3: "x" })
          yield* answers(kt, "queue_rremove", { ...data, n: "1" }, { num: "1" })
          yield* answers(kt, "queue_peek", { ...queue, n: "-1" }, { 0: "y", 1: "x", 2: "z" })
          yield* answers(kt, "queue_rremove", { ...data, n: "-1" }, { num: "1" })
          yield* answers(kt, "queue_remove", data, { num: "0" })
        }))

      test("queue_set_score counts what did not have it, and keeps the number", (kt) =>
        Effect.gen(function*() {
          yield* answers(kt, "queue_madd", { ...queue, 0: "x", 1: "y", 2: "x" }, { num: "3" })
          yield* answers(kt, "queue_set_score", { ...queue, data: "x", n: "1", score: "5" }, { num: "1" })
          yield* answers(kt, "queue_set_score", { ...queue, data: "x", score: "5" }, { num: "1" })
          yield* answers(kt, "queue_set_score", { ...queue, data: "x", score: "5" }, { num: "0" })
          yield* answers(kt, "queue_peek", { ...queue, n: "-1" }, { 0: "x", 1: "x", 2: "y" })
          deepStrictEqual(yield* kt.matchPrefix("q\t"), [
            "q\t499999999995000000000001",
            "q\t499999999995000000000003",
            "q\t500000000000000000000002"
          ])
        }))

      test("queue_transfer keeps scores, gives new numbers, and refuses the same queue", (kt) =>
        Effect.gen(function*() {
          yield* answers(kt, "queue_add", { data: "there", queue: "d", score: "1" }, { id: "1" })
          yield* filled(kt)
          yield* answers(kt, "queue_add", { ...queue, data: "first", score: "1" }, { id: "4" })
          yield* answers(kt, "queue_transfer", { ...queue, dest: "d" }, { 0: "first" })
          yield* answers(kt, "queue_transfer", { ...queue, dest: "d", n: "2" }, { 0: "a", 1: "b" })
          deepStrictEqual(yield* kt.matchPrefix("d\t"), [
            "d\t499999999999000000000001",
            "d\t499999999999000000000002",
            "d\t500000000000000000000003",
            "d\t500000000000000000000004"
          ])
          yield* ktError(raw(kt, "queue_transfer", { ...queue, dest: "q" }), "InvalidArgument")
          yield* answers(kt, "queue_transfer", { dest: "d", queue: "none" }, {})
        }))

      test("a record under the name that is no number is left", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("q", "text")
          yield* ktError(raw(kt, "queue_add", { ...queue, data: "a" }), "NotANumber")
          yield* ktError(raw(kt, "queue_madd", { ...queue, 0: "a" }), "NotANumber")
          yield* ktError(raw(kt, "schedule_add", { key: "q", value: "a" }), "NotANumber")
          assert.strictEqual(yield* stored(kt, "q"), "74657874")
          assert.strictEqual(yield* kt.count(), 1)
        }))

      test("a name is compared as it is, also one that is a pattern of Lua", (kt) =>
        Effect.gen(function*() {
          for (const name of ["a-b", "(", "%d", "[", ".*", "^$"]) {
            yield* answers(kt, "queue_add", { data: name, queue: name }, { id: "1" })
            yield* answers(kt, "queue_peek", { queue: name }, { 0: name })
            yield* answers(kt, "queue_rpop", { queue: name }, { 0: name })
          }
        }))
    })

    describe("schedules", () => {
      test("schedule_add tells the key, schedule_read takes what is due", (kt) =>
        Effect.gen(function*() {
          const add = (value: string, score: string | undefined, expected: string) =>
            answers(kt, "schedule_add", { key: "s", value, ...(score === undefined ? {} : { score }) }, {
              key: `s\t${expected}`
            })
          yield* add("a", "20", "000000000020000000000001")
          yield* add("b", undefined, "000000000000000000000002")
          yield* add("c", "junk", "000000000000000000000003")
          yield* add("d", "10.9", "000000000010000000000004")
          yield* answers(kt, "schedule_read", { key: "s", n: "0" }, {})
          yield* answers(kt, "schedule_read", { key: "s", n: "1", score: "10" }, { 0: "b" })
          yield* answers(kt, "schedule_read", { key: "s", score: "10" }, { 0: "c", 1: "d" })
          yield* answers(kt, "schedule_read", { key: "s", score: "19.9" }, {})
          yield* answers(kt, "schedule_read", { key: "s", n: "-1" }, { 0: "a" })
          yield* answers(kt, "schedule_read", { key: "s" }, {})
        }))

      test("schedule_read reads to 4294967295 by default, and more if it is told", (kt) =>
        Effect.gen(function*() {
          for (const score of ["4294967295", "4294967296", "999999999999"]) {
            yield* raw(kt, "schedule_add", { key: "s", score, value: score })
          }
          yield* answers(kt, "schedule_read", { key: "s" }, { 0: "4294967295" })
          yield* answers(kt, "schedule_read", { key: "s" }, {})
          yield* answers(kt, "schedule_read", { key: "s", score: "4294967296" }, { 0: "4294967296" })
          yield* answers(kt, "schedule_read", { key: "s", score: "999999999999" }, { 0: "999999999999" })
        }))
    })
  })
