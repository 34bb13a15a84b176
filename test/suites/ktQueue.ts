/** What KtCompat promises of queues, but for waiting. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, FastCheck as fc, Option, Schema, TestClock } from "effect"
import { KtCompat, Storage } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import {
  codecError,
  expiresAt,
  holds,
  invalidKey,
  ktError,
  nothing,
  oneOf,
  parameterNames,
  runsOn,
  some,
  stored,
  testOn,
  type Text,
  unhex
} from "../ktContainers.js"

type Queue = KtCompat.Queue<string>

const leastScore = -499_999_999_999
const greatestScore = 500_000_000_000

/** Every method. */
const methods = (kt: Text, key: string): Record<string, Effect.Effect<unknown, KtCompat.Failure>> => {
  const queue = kt.Queue(key)
  return {
    add: queue.add("1"),
    bpop: queue.bpop({ timeout: "0 millis" }),
    clear: queue.clear,
    count: queue.count,
    extend: queue.extend(["1"]),
    peek: queue.peek(),
    peekMany: queue.peekMany(1),
    pop: queue.pop(),
    popMany: queue.popMany(1),
    remove: queue.remove("1"),
    rpeek: queue.rpeek(),
    rpeekMany: queue.rpeekMany(1),
    rpop: queue.rpop(),
    rpopMany: queue.rpopMany(1),
    rremove: queue.rremove("1"),
    setPriority: queue.setPriority("1", 1),
    transfer: queue.transfer("dest"),
    transferMany: queue.transferMany("dest", 1)
  }
}

const item = fc.constantFrom("", "a", "b", "c")
const score = fc.constantFrom(0, 0, 1, 2, -1, leastScore, greatestScore)
const n = fc.nat(4)
const minScore = fc.option(fc.constantFrom(0, 1, 2, -1, leastScore, greatestScore), { nil: undefined })
const command = fc.oneof(
  { arbitrary: fc.record({ item, score, tag: oneOf("add") }), weight: 9 },
  { arbitrary: fc.record({ items: fc.array(item, { maxLength: 4 }), score, tag: oneOf("extend") }), weight: 6 },
  { arbitrary: fc.record({ minScore, tag: oneOf("pop", "rpop", "peek", "rpeek", "bpop") }), weight: 3 },
  { arbitrary: fc.record({ minScore, n, tag: oneOf("popMany", "rpopMany", "peekMany", "rpeekMany") }), weight: 3 },
  {
    arbitrary: fc.record({ item, minScore, n: fc.option(n, { nil: undefined }), tag: oneOf("remove", "rremove") }),
    weight: 3
  },
  { arbitrary: fc.record({ item, n: fc.option(n, { nil: undefined }), score, tag: oneOf("setPriority") }), weight: 3 },
  { arbitrary: fc.record({ n, tag: oneOf("transferMany") }), weight: 3 },
  { arbitrary: fc.record({ tag: oneOf("transfer", "count") }), weight: 3 },
  { arbitrary: fc.record({ tag: oneOf("clear") }), weight: 1 }
)
type Command = typeof command extends fc.Arbitrary<infer A> ? A : never

interface Item {
  readonly id: number
  readonly item: string
  readonly score: number
}

/** A queue as an array, in no order. */
class Model {
  items: ReadonlyArray<Item> = []
  last = 0

  add(item: string, score: number): number {
    this.items = [...this.items, { id: ++this.last, item, score }]
    return this.last
  }

  inOrder(minScore = -Infinity): ReadonlyArray<Item> {
    return [...this.items].sort((a, b) => b.score - a.score || a.id - b.id).filter(({ score }) => score >= minScore)
  }

  without(gone: ReadonlyArray<Item>): ReadonlyArray<string> {
    this.items = this.items.filter((item) => !gone.includes(item))
    return gone.map(({ item }) => item)
  }
}

const modelled = (model: Model, other: Model, command: Command): unknown => {
  const inOrder = model.inOrder("minScore" in command ? command.minScore : undefined)
  const reversed = [...inOrder].reverse()
  const texts = (items: ReadonlyArray<Item>) => items.map(({ item }) => item)
  switch (command.tag) {
    case "add":
      return model.add(command.item, command.score)
    case "extend":
      for (const item of command.items) model.add(item, command.score)
      return command.items.length
    case "pop":
    case "bpop":
      return model.without(inOrder.slice(0, 1))[0]
    case "popMany":
      return model.without(inOrder.slice(0, command.n))
    case "rpop":
      return model.without(reversed.slice(0, 1))[0]
    case "rpopMany":
      return model.without(reversed.slice(0, command.n))
    case "peek":
      return inOrder[0]?.item
    case "peekMany":
      return texts(inOrder.slice(0, command.n))
    case "rpeek":
      return reversed[0]?.item
    case "rpeekMany":
      return texts(reversed.slice(0, command.n))
    case "remove":
    case "rremove": {
      const equal = (command.tag === "remove" ? inOrder : reversed).filter(({ item }) => item === command.item)
      return model.without(equal.slice(0, command.n)).length
    }
    case "setPriority": {
      const changed = inOrder
        .filter(({ item, score }) => item === command.item && score !== command.score)
        .slice(0, command.n)
      model.items = model.items.map((item) => changed.includes(item) ? { ...item, score: command.score } : item)
      return changed.length
    }
    case "transfer":
    case "transferMany": {
      const moved = inOrder.slice(0, "n" in command ? command.n : 1)
      for (const { item, score } of moved) other.add(item, score)
      const items = model.without(moved)
      return command.tag === "transfer" ? items[0] : items
    }
    case "count":
      return inOrder.length
    case "clear":
      model.last = 0
      return model.without(inOrder).length
  }
}

const run = (queue: Queue, dest: string, command: Command): Effect.Effect<unknown, KtCompat.Failure> => {
  switch (command.tag) {
    case "add":
      return queue.add(command.item, { score: command.score })
    case "extend":
      return queue.extend(command.items, { score: command.score })
    case "pop":
    case "rpop":
    case "peek":
    case "rpeek":
      return Effect.map(queue[command.tag]({ minScore: command.minScore }), Option.getOrUndefined)
    case "bpop":
      return Effect.map(queue.bpop({ minScore: command.minScore, timeout: "0 millis" }), Option.getOrUndefined)
    case "popMany":
    case "rpopMany":
    case "peekMany":
    case "rpeekMany":
      return queue[command.tag](command.n, { minScore: command.minScore })
    case "remove":
    case "rremove":
      return queue[command.tag](command.item, { minScore: command.minScore, n: command.n })
    case "setPriority":
      return queue.setPriority(command.item, command.score, { n: command.n })
    case "transfer":
      return Effect.map(queue.transfer(dest), Option.getOrUndefined)
    case "transferMany":
      return queue.transferMany(dest, command.n)
    case "count":
      return queue.count
    case "clear":
      return queue.clear
  }
}

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat.Queue", () => {
    const test = testOn(engine)
    const all = (queue: Queue) => queue.peekMany(1000)

    describe("order", () => {
      test("U131, U132: the highest score first, and of one score as they came; add tells the number", (kt) =>
        Effect.gen(function*() {
          const queue = kt.Queue("q")
          assert.strictEqual(yield* queue.add("a"), 1)
          assert.strictEqual(yield* queue.add("b", { score: -1 }), 2)
          assert.strictEqual(yield* queue.add("c", { score: 1 }), 3)
          assert.strictEqual(yield* queue.extend(["d", "e"]), 2)
          assert.strictEqual(yield* queue.extend(new Set(["f"]), { score: 1 }), 1)
          assert.strictEqual(yield* queue.extend([]), 0)
          assert.strictEqual(yield* queue.add("g", { score: undefined }), 7)
          deepStrictEqual(yield* all(queue), ["c", "f", "a", "d", "e", "g", "b"])
          assert.strictEqual(yield* queue.count, 7)
        }))

      test("U130: keys are the name, a tab, the score and the number; items and the counter do not expire", (kt) =>
        Effect.gen(function*() {
          const queue = kt.Queue("jobs")
          yield* queue.add("a")
          yield* queue.add("b", { score: 1 })
          yield* queue.add("c", { score: -1 })
          yield* queue.add("d", { score: greatestScore })
          yield* queue.add("e", { score: leastScore })
          deepStrictEqual(yield* kt.matchPrefix(""), [
            "jobs",
            "jobs\t000000000000000000000004",
            "jobs\t499999999999000000000002",
            "jobs\t500000000000000000000001",
            "jobs\t500000000001000000000003",
            "jobs\t999999999999000000000005"
          ])
          assert.strictEqual(yield* stored(kt, "jobs"), "0000000000000005" + "0000000000000000")
          assert.strictEqual(yield* stored(kt, "jobs\t500000000000000000000001"), "61")
          yield* expiresAt(kt, "jobs", undefined)
          yield* expiresAt(kt, "jobs\t500000000000000000000001", undefined)
          yield* TestClock.adjust("1000 days")
          deepStrictEqual(yield* all(queue), ["d", "b", "a", "c", "e"])
        }))

      test("U130: what another client has put there is an item", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("q\t499999999995000000000009", "theirs")
          yield* kt.incrementDouble("q", 9)
          const queue = kt.Queue("q")
          assert.strictEqual(yield* queue.add("ours", { score: 5 }), 10)
          deepStrictEqual(yield* all(queue), ["theirs", "ours"])
        }))

      test("U130: a score is a whole number within its bounds, and nothing else is written", (kt) =>
        Effect.gen(function*() {
          const queue = kt.Queue("q")
          for (const score of [leastScore - 1, greatestScore + 1, 1.5, NaN, Infinity, -Infinity]) {
            yield* ktError(queue.add("a", { score }), "InvalidArgument")
            yield* ktError(queue.extend(["a"], { score }), "InvalidArgument")
            yield* ktError(queue.setPriority("a", score), "InvalidArgument")
          }
          assert.strictEqual(yield* kt.count(), 0)
          yield* queue.add("low", { score: leastScore })
          yield* queue.add("high", { score: greatestScore })
          deepStrictEqual(yield* queue.peekMany(9, { minScore: leastScore }), ["high", "low"])
          deepStrictEqual(yield* queue.peekMany(9, { minScore: leastScore + 1 }), ["high"])
          deepStrictEqual(yield* queue.peekMany(9, { minScore: greatestScore }), ["high"])
        }))

      test("10,000 items come out in order, each once", (kt) =>
        Effect.gen(function*() {
          const queue = kt.Queue("q")
          const items = Array.from({ length: 5000 }, (_, i) => `${i}`)
          assert.strictEqual(yield* queue.extend(items.map((item) => `low ${item}`)), 5000)
          assert.strictEqual(yield* queue.extend(items.map((item) => `high ${item}`), { score: 1 }), 5000)
          assert.strictEqual(yield* queue.count, 10_000)
          deepStrictEqual(yield* queue.popMany(3), ["high 0", "high 1", "high 2"])
          deepStrictEqual(yield* queue.rpopMany(2), ["low 4999", "low 4998"])
          some(yield* queue.pop({ minScore: 1 }), "high 3")
          assert.strictEqual(yield* queue.remove("low 4997"), 1)
          const rest = yield* queue.popMany(20_000)
          deepStrictEqual(rest, [
            ...items.slice(4).map((item) => `high ${item}`),
            ...items.slice(0, -3).map((item) => `low ${item}`)
          ])
          assert.strictEqual(yield* queue.count, 0)
        }))
    })

    describe("methods", () => {
      const filled = (kt: Text) =>
        Effect.gen(function*() {
          const queue = kt.Queue("q")
          yield* queue.extend(["a", "b"], { score: 2 })
          yield* queue.extend(["c", "a"], { score: 1 })
          yield* queue.extend(["b", "a"])
          return queue
        })

      test("U133: pop and popMany take from the head, rpop and rpopMany from the tail", (kt) =>
        Effect.gen(function*() {
          const queue = yield* filled(kt)
          some(yield* queue.pop(), "a")
          some(yield* queue.rpop(), "a")
          deepStrictEqual(yield* queue.popMany(2), ["b", "c"])
          deepStrictEqual(yield* queue.rpopMany(0), [])
          deepStrictEqual(yield* queue.rpopMany(9), ["b", "a"])
          nothing(yield* queue.pop())
          nothing(yield* queue.rpop())
          deepStrictEqual(yield* queue.popMany(9), [])
          assert.strictEqual(yield* queue.add("later"), 7)
        }))

      test("U133: minScore passes over what is lower", (kt) =>
        Effect.gen(function*() {
          const queue = yield* filled(kt)
          nothing(yield* queue.pop({ minScore: 3 }))
          some(yield* queue.rpop({ minScore: 1 }), "a")
          deepStrictEqual(yield* queue.rpopMany(2, { minScore: 1 }), ["c", "b"])
          deepStrictEqual(yield* queue.popMany(9, { minScore: 1 }), ["a"])
          nothing(yield* queue.pop({ minScore: 1 }))
          nothing(yield* queue.pop({ minScore: Infinity }))
          for (const minScore of [-Infinity, -1e300, leastScore - 1]) {
            deepStrictEqual(yield* queue.peekMany(9, { minScore }), ["b", "a"], `${minScore}`)
          }
          yield* ktError(queue.pop({ minScore: NaN }), "InvalidArgument")
          deepStrictEqual(yield* queue.popMany(9, { minScore: 0 }), ["b", "a"])
        }))

      test("U135: peek and rpeek take nothing", (kt) =>
        Effect.gen(function*() {
          const queue = yield* filled(kt)
          some(yield* queue.peek(), "a")
          some(yield* queue.rpeek(), "a")
          some(yield* queue.rpeek({ minScore: 2 }), "b")
          nothing(yield* queue.peek({ minScore: 3 }))
          deepStrictEqual(yield* queue.peekMany(3), ["a", "b", "c"])
          deepStrictEqual(yield* queue.rpeekMany(2, { minScore: 1 }), ["a", "c"])
          deepStrictEqual(yield* queue.peekMany(0), [])
          assert.strictEqual(yield* queue.count, 6)
        }))

      test("how many is a whole number from 0 on", (kt) =>
        Effect.gen(function*() {
          const queue = yield* filled(kt)
          for (const n of [-1, 1.5, NaN, Infinity]) {
            yield* ktError(queue.popMany(n), "InvalidArgument")
            yield* ktError(queue.rpopMany(n), "InvalidArgument")
            yield* ktError(queue.peekMany(n), "InvalidArgument")
            yield* ktError(queue.rpeekMany(n), "InvalidArgument")
            yield* ktError(queue.remove("a", { n }), "InvalidArgument")
            yield* ktError(queue.rremove("a", { n }), "InvalidArgument")
            yield* ktError(queue.transferMany("dest", n), "InvalidArgument")
            yield* ktError(queue.setPriority("a", 1, { n }), "InvalidArgument")
          }
          assert.strictEqual(yield* queue.count, 6)
        }))

      test("U136: a queue that is not there is empty, and nothing makes it but an item", (kt) =>
        Effect.gen(function*() {
          for (const [name, method] of Object.entries(methods(kt, "q"))) {
            if (name !== "add" && name !== "extend") yield* method
          }
          assert.strictEqual(yield* kt.Queue("q").count, 0)
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("U137: remove and rremove remove what is equal, all or the first n from their end", (kt) =>
        Effect.gen(function*() {
          const queue = yield* filled(kt)
          assert.strictEqual(yield* queue.remove("x"), 0)
          assert.strictEqual(yield* queue.remove("a", { n: 0 }), 0)
          assert.strictEqual(yield* queue.remove("a", { n: 1 }), 1)
          deepStrictEqual(yield* all(queue), ["b", "c", "a", "b", "a"])
          assert.strictEqual(yield* queue.rremove("b", { n: 1 }), 1)
          deepStrictEqual(yield* all(queue), ["b", "c", "a", "a"])
          assert.strictEqual(yield* queue.remove("a", { minScore: 1 }), 1)
          assert.strictEqual(yield* queue.rremove("a", { minScore: 1 }), 0)
          assert.strictEqual(yield* queue.rremove("a"), 1)
          deepStrictEqual(yield* all(queue), ["b", "c"])
        }))

      test("U138: transfer moves from the head to the tail of another, and keeps scores", (kt) =>
        Effect.gen(function*() {
          const queue = yield* filled(kt)
          const dest = kt.Queue("dest")
          yield* dest.add("x", { score: 2 })
          some(yield* queue.transfer("dest"), "a")
          deepStrictEqual(yield* queue.transferMany("dest", 3), ["b", "c", "a"])
          deepStrictEqual(yield* all(dest), ["x", "a", "b", "c", "a"])
          deepStrictEqual(yield* dest.peekMany(9, { minScore: 2 }), ["x", "a", "b"])
          deepStrictEqual(yield* all(queue), ["b", "a"])
          assert.strictEqual(yield* dest.add("y"), 6)
          deepStrictEqual(yield* queue.transferMany("dest", 0), [])
          nothing(yield* kt.Queue("none").transfer("dest"))
          yield* ktError(queue.transfer("q"), "InvalidArgument")
          yield* ktError(queue.transferMany("q", 2), "InvalidArgument")
          assert.strictEqual(yield* queue.count, 2)
        }))

      test("U139: setPriority counts what did not have the score, and keeps the numbers", (kt) =>
        Effect.gen(function*() {
          const queue = yield* filled(kt)
          assert.strictEqual(yield* queue.setPriority("x", 1), 0)
          assert.strictEqual(yield* queue.setPriority("a", 1), 2)
          // The first a came before c.
          deepStrictEqual(yield* all(queue), ["b", "a", "c", "a", "a", "b"])
          assert.strictEqual(yield* queue.setPriority("a", 1), 0)
          assert.strictEqual(yield* queue.setPriority("a", 0, { n: 1 }), 1)
          deepStrictEqual(yield* all(queue), ["b", "c", "a", "a", "a", "b"])
          assert.strictEqual(yield* queue.setPriority("a", 9, { n: 0 }), 0)
          assert.strictEqual(yield* queue.setPriority("b", greatestScore), 2)
          deepStrictEqual(yield* queue.popMany(2, { minScore: greatestScore }), ["b", "b"])
        }))

      test("U140: clear removes all and the counter, so numbers begin again", (kt) =>
        Effect.gen(function*() {
          const queue = yield* filled(kt)
          assert.strictEqual(yield* queue.clear, 6)
          assert.strictEqual(yield* kt.count(), 0)
          assert.strictEqual(yield* queue.clear, 0)
          assert.strictEqual(yield* queue.add("a"), 1)
        }))
    })

    describe("names", () => {
      const strange = ["a-b", "(", "%d", "[", ".", "*", "^$", "%", "", "a\0", "é", "_", "a'b", ...parameterNames]

      test("U130: any text without a tab is a name, also the patterns of another language", (kt) =>
        Effect.gen(function*() {
          for (const name of strange) assert.strictEqual(yield* kt.Queue(name).add(`of ${name}`), 1, name)
          for (const name of strange) {
            const queue = kt.Queue(name)
            yield* queue.add("second", { score: 1 })
            assert.strictEqual(yield* queue.count, 2, name)
            some(yield* queue.rpeek(), `of ${name}`)
            assert.strictEqual(yield* queue.setPriority(`of ${name}`, 2), 1, name)
            some(yield* queue.transfer("the dest"), `of ${name}`)
            some(yield* queue.pop(), "second")
            nothing(yield* queue.bpop({ timeout: "0 millis" }))
          }
          assert.strictEqual(yield* kt.Queue("the dest").count, strange.length)
        }))

      test("U130: one name may begin with another, and records be called alike", (kt) =>
        Effect.gen(function*() {
          const others = ["a\0", "aX", "a ", "a\b", "A", "a:", "a\n", "a/\t1", ""]
          for (const key of others) yield* kt.set(key, "a record")
          const [a, ab] = [kt.Queue("a"), kt.Queue("ab")]
          yield* a.extend(["1", "2"])
          yield* ab.extend(["3", "4", "5"])
          assert.strictEqual(yield* a.count, 2)
          assert.strictEqual(yield* ab.count, 3)
          deepStrictEqual(yield* a.popMany(9), ["1", "2"])
          deepStrictEqual(yield* ab.rpopMany(1), ["5"])
          assert.strictEqual(yield* a.clear, 0)
          yield* a.add("6")
          assert.strictEqual(yield* a.clear, 1)
          deepStrictEqual(yield* all(ab), ["3", "4"])
          assert.strictEqual((yield* kt.getBulk(others)).size, others.length)
        }))

      test("U130: a name with a tab is refused by every method, and as where to transfer", (kt) =>
        Effect.gen(function*() {
          yield* kt.Queue("a").add("1")
          for (const name of ["a\t", "\t", "a\t1", "\ta"]) {
            for (const [method, effect] of Object.entries(methods(kt, name))) {
              const error = yield* ktError(effect, "InvalidArgument")
              assert.include(error.message, "tab", method)
            }
            yield* ktError(kt.Queue("a").transfer(name), "InvalidArgument")
            yield* ktError(kt.Queue("a").transferMany(name, 1), "InvalidArgument")
          }
          assert.strictEqual(yield* kt.count(), 2)
        }))

      test("a name that leaves no room for the rest of the key is refused, and nothing is written", (kt) =>
        Effect.gen(function*() {
          const longest = "k".repeat(2048 - 25)
          assert.strictEqual(yield* kt.Queue(longest).add("1"), 1)
          some(yield* kt.Queue(longest).pop(), "1")
          yield* invalidKey(kt.Queue(`${longest}k`).add("1"))
          yield* invalidKey(kt.Queue(`${longest}k`).extend(["1", "2"]))
          assert.strictEqual(yield* kt.exists(`${longest}k`), false)
        }))

      test("a record under the name that is no number is left, and nothing is added", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("q", "a record")
          const queue = kt.Queue("q")
          yield* ktError(queue.add("1"), "NotANumber")
          yield* ktError(queue.extend(["1"]), "NotANumber")
          yield* kt.Queue("other").add("1")
          yield* ktError(kt.Queue("other").transfer("q"), "NotANumber")
          assert.strictEqual(yield* kt.Queue("other").count, 1)
          some(yield* kt.get("q"), "a record")
          assert.strictEqual(yield* queue.count, 0)
        }))

      test("U100: all is about the database of the queue", (kt) =>
        Effect.gen(function*() {
          const queue = kt.Queue("q", { db: 1 })
          yield* queue.extend(["1", "2"])
          assert.strictEqual(yield* kt.Queue("q").count, 0)
          some(yield* queue.transfer("dest"), "1")
          assert.strictEqual(yield* kt.Queue("dest", { db: "b" }).count, 1)
          assert.strictEqual(yield* queue.clear, 1)
          assert.strictEqual(yield* kt.count(), 0)
          yield* ktError(kt.Queue("q", { db: 2 }).add("1"), "NoDatabase")
        }))
    })

    describe("serializers", () => {
      test("JSON, MessagePack and none: any value is an item, also null; equal are those of equal stored forms", (kt) =>
        Effect.gen(function*() {
          const items = [null, false, 0, "", [], { a: 1, b: [null] }]
          for (const values of [KtCompat.json, KtCompat.msgpack]) {
            const queue = kt.withValues(values).Queue("q")
            assert.strictEqual(yield* queue.extend(items), items.length)
            some(yield* queue.peek(), null)
            assert.strictEqual(yield* queue.remove({ a: 1, b: [null] }), 1)
            some(yield* queue.pop(), null)
            deepStrictEqual(yield* queue.popMany(9), items.slice(1, -1))
          }
          assert.strictEqual(yield* kt.withValues(KtCompat.json).Queue("q").add({ b: 1, a: 2 }), 13)
          assert.strictEqual(yield* kt.withValues(KtCompat.json).Queue("q").remove({ a: 2, b: 1 }), 1)
          const queue = kt.withValues(KtCompat.none).Queue("bytes")
          yield* queue.add(unhex("ff00"))
          some(yield* queue.pop(), unhex("ff00"))
        }))

      test("what a Schema refuses is not written", (kt) =>
        Effect.gen(function*() {
          const queue = kt.withValues(Schema.Positive).Queue("q")
          yield* codecError(queue.add(-1))
          yield* codecError(queue.extend([1, -1]))
          yield* codecError(queue.remove(-1))
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("what cannot be decoded is put back at its place, and what came with it", (kt) =>
        Effect.gen(function*() {
          const queue = kt.withValues(Schema.Number).Queue("q")
          yield* kt.Queue("q").extend(["1", "{", "2"], { score: 5 })
          const before = yield* kt.matchPrefix("q")
          yield* codecError(queue.popMany(3))
          yield* codecError(queue.rpopMany(2))
          some(yield* queue.pop(), 1)
          const pops: ReadonlyArray<Effect.Effect<unknown, KtCompat.Failure>> = [
            queue.pop(),
            queue.bpop(),
            queue.popMany(1),
            queue.peek(),
            queue.peekMany(2)
          ]
          for (const pop of pops) {
            yield* codecError(pop)
            deepStrictEqual(yield* kt.matchPrefix("q"), before.filter((_, i) => i !== 1))
          }
          some(yield* queue.rpop(), 2)
          yield* codecError(queue.rpop())
          some(yield* kt.Queue("q").pop({ minScore: 5 }), "{")
        }))
    })

    describe("together", () => {
      test("U133: each of many items goes to exactly one of those who pop", (kt) =>
        Effect.gen(function*() {
          const queue = kt.Queue("q")
          yield* queue.extend(Array.from({ length: 100 }, (_, i) => `${i}`))
          const popping = [queue.pop(), queue.rpop(), Effect.map(queue.popMany(3), Option.some), queue.transfer("dest")]
          const popped = yield* Effect.forEach(
            Array.from({ length: 60 }, (_, i) => popping[i % 4]!),
            (pop): Effect.Effect<Option.Option<string | ReadonlyArray<string>>, KtCompat.Failure> => pop,
            { concurrency: "unbounded" }
          )
          const items = popped.flatMap(Option.toArray).flat()
          assert.strictEqual(items.length, 90)
          assert.strictEqual(new Set([...items, ...yield* all(queue)]).size, 100)
          assert.strictEqual(yield* kt.Queue("dest").count, 15)
        }))

      test("U131: many who add at once get different numbers", (kt) =>
        Effect.gen(function*() {
          const ids = yield* Effect.replicateEffect(kt.Queue("q").add("a"), 60, { concurrency: "unbounded" })
          deepStrictEqual([...ids].sort((a, b) => a - b), Array.from({ length: 60 }, (_, i) => i + 1))
          assert.strictEqual(yield* kt.Queue("q").count, 60)
        }))

      test("in a transaction that is rolled back nothing was taken, added or moved", (kt) =>
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const queue = kt.Queue("q")
          yield* queue.extend(["a", "b", "c"])
          const before = yield* kt.matchPrefix("")
          const all = Effect.all([
            queue.pop(),
            queue.bpop(),
            queue.add("d", { score: 1 }),
            queue.setPriority("c", 5),
            queue.transfer("dest"),
            queue.clear
          ])
          yield* Effect.flip(storage.transaction(Effect.zipRight(all, Effect.fail("back"))))
          deepStrictEqual(yield* kt.matchPrefix(""), before)
          assert.strictEqual(yield* queue.add("d"), 4)
        }))

      test("agrees with a plain array, whatever is done", (kt) =>
        holds(runsOn(engine, 150), fc.array(fc.tuple(fc.nat(1), command), { maxLength: 30 }), (commands, number) =>
          Effect.gen(function*() {
            const names = [`q${number}`, `q${number}x`] as const
            const models = [new Model(), new Model()] as const
            for (const [which, command] of commands) {
              const [i, j] = which === 0 ? [0, 1] as const : [1, 0] as const
              deepStrictEqual(
                yield* run(kt.Queue(names[i]), names[j], command),
                modelled(models[i], models[j], command),
                JSON.stringify(command)
              )
            }
            for (const i of [0, 1] as const) {
              deepStrictEqual(
                yield* all(kt.Queue(names[i])),
                models[i].inOrder().map(({ item }) =>
                  item
                )
              )
            }
          })))
    })
  })
