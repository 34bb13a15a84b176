/** Many fibers that want the same things of KtCompat at once. */
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber, Layer, Option } from "effect"
import { KtCompat, KtTransport } from "effect-kv"
import { describeOn, type Engine, postgres } from "../engines.js"

type Kt = KtCompat.KtCompat<string, string>

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)
const ascending = (values: ReadonlyArray<number>) => [...values].sort((a, b) => a - b)

export const suite = (engine: Engine) =>
  describeOn(engine, "fibers with KtCompat", () => {
    const databases = Layer.provideMerge(KtTransport.layer(), engine.layer)
    const test = (title: string, body: (kt: Kt) => Effect.Effect<void, unknown>) =>
      it.scopedLive(title, () => Effect.provide(Effect.flatMap(KtCompat.make(), body), databases))
    /** What each of some fibers gets. */
    const each = <A, E>(count: number, f: (n: number) => Effect.Effect<A, E>) =>
      Effect.forEach(numbers(count), f, { concurrency: "unbounded" })

    test("that pop get each item once", (kt) =>
      Effect.gen(function*() {
        const queue = kt.Queue("queue")
        const items = numbers(engine === postgres ? 200 : 1000).map((i) => `item ${i}`)
        yield* queue.extend(items)
        const ways = [
          Effect.map(queue.pop(), Option.toArray),
          queue.popMany(3),
          Effect.map(queue.rpop(), Option.toArray),
          Effect.map(queue.bpop({ timeout: "0 millis" }), Option.toArray)
        ]
        const got = yield* each(8, (n) =>
          Effect.gen(function*() {
            const all: Array<string> = []
            const take = ways[n % 4] ?? queue.rpopMany(2)
            for (let some = yield* take; some.length > 0; some = yield* take) all.push(...some)
            return all
          }))
        deepStrictEqual(got.flat().sort(), [...items].sort())
        assert.strictEqual(yield* queue.count, 0)
      }))

    test("that wait each get one of what comes", (kt) =>
      Effect.gen(function*() {
        const queue = kt.Queue("queue")
        const waiting = yield* Effect.fork(each(6, () => queue.bpop()))
        yield* engine.turns
        yield* queue.extend(["a", "b", "c"])
        yield* each(3, (n) => queue.add(`${n}`))
        const got = yield* Fiber.join(waiting)
        deepStrictEqual(got.flatMap(Option.toArray).sort(), ["0", "1", "2", "a", "b", "c"])
        assert.strictEqual(yield* queue.count, 0)
      }))

    test("that add get numbers of their own, and nothing is lost", (kt) =>
      Effect.gen(function*() {
        const queue = kt.Queue("queue")
        const ids = yield* each(30, (n) => queue.add(`item ${n}`, { score: n % 3 }))
        deepStrictEqual(ascending(ids), numbers(30).map((i) => i + 1))
        deepStrictEqual([...yield* queue.peekMany(99)].sort(), numbers(30).map((n) => `item ${n}`).sort())
      }))

    test("that increment count right, and no two get one sum", (kt) =>
      Effect.gen(function*() {
        const sums = yield* each(50, () => kt.increment("counter"))
        deepStrictEqual(ascending(sums.map(Number)), numbers(50).map((i) => i + 1))
        yield* each(50, () => kt.incrementDouble("double", 0.25))
        assert.strictEqual(yield* kt.incrementDouble("double", 0), 12.5)
      }))

    test("that seize, add or replace by cas: one of them does", (kt) =>
      Effect.gen(function*() {
        yield* kt.set("a", "1")
        deepStrictEqual((yield* each(10, () => kt.seize("a"))).flatMap(Option.toArray), ["1"])
        const added = yield* each(10, (n) => kt.add("b", String(n)))
        deepStrictEqual(added.filter((isAdded) => isAdded), [true])
        assert.strictEqual(yield* Effect.map(kt.get("b"), Option.getOrThrow), String(added.indexOf(true)))
        yield* kt.set("c", "old")
        const swapped = yield* each(10, (n) => kt.cas("c", Option.some("old"), Option.some(String(n))))
        deepStrictEqual(swapped.filter((isSwapped) => isSwapped), [true])
        assert.strictEqual(yield* Effect.map(kt.get("c"), Option.getOrThrow), String(swapped.indexOf(true)))
      }))

    test("that move between lists, either way, keep all elements", (kt) =>
      Effect.gen(function*() {
        const elements = numbers(10).map(String)
        yield* kt.List("left").extend(elements)
        yield* kt.List("right").extend(elements)
        yield* kt.List("round").extend(elements)
        const moved = yield* each(engine === postgres ? 16 : 60, (n) => {
          const [from, to] = n % 2 === 0 ? ["left", "right"] as const : ["right", "left"] as const
          return n % 4 < 2 ? kt.List(from).lpoprpush(to) : kt.List(from).rpoplpush(to)
        })
        assert.isTrue(moved.some(Option.isSome))
        const all = [...yield* kt.List("left").getRange(), ...yield* kt.List("right").getRange()]
        deepStrictEqual(all.sort(), [...elements, ...elements].sort())
        yield* each(13, () => kt.List("round").lpoprpush())
        deepStrictEqual(yield* kt.List("round").getRange(), [...elements.slice(3), ...elements.slice(0, 3)])
      }))

    test("that write to one hash or one set lose nothing of each other", (kt) =>
      Effect.gen(function*() {
        yield* each(30, (n) => kt.Hash("hash").setBulk({ [`${n}/a`]: "1", [`${n}/b`]: "2" }))
        const fields = numbers(30).flatMap((n) => [[`${n}/a`, "1"], [`${n}/b`, "2"]] as const)
        deepStrictEqual(yield* kt.Hash("hash").getAll, new Map(fields))
        const added = yield* each(30, (n) => kt.Set("set").add(`own ${n}`, `shared ${n % 5}`))
        assert.strictEqual(added.reduce((sum, count) => sum + count, 0), 35)
        const popped = yield* each(40, () => kt.Set("set").pop)
        const members = popped.flatMap(Option.toArray)
        assert.strictEqual(members.length, 35)
        assert.strictEqual(new Set(members).size, 35)
      }))

    test("that transfer between queues, either way, keep all items", (kt) =>
      Effect.gen(function*() {
        const items = numbers(12).map(String)
        yield* kt.Queue("left").extend(items)
        yield* kt.Queue("right").extend(items.map((item) => `-${item}`))
        yield* each(
          engine === postgres ? 10 : 40,
          (n) =>
            n % 2 === 0
              ? kt.Queue("left").transferMany("right", 2)
              : Effect.map(kt.Queue("right").transfer("left"), Option.toArray)
        )
        const all = [...yield* kt.Queue("left").peekMany(99), ...yield* kt.Queue("right").peekMany(99)]
        deepStrictEqual(all.sort(), items.flatMap((item) => [item, `-${item}`]).sort())
      }))
  })
