/** Several processes that want the same things of one database, as Kyoto Tycoon's clients do of a server. */
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, ExecutionStrategy, Exit, Fiber, Layer, Redacted, Scope, Utils } from "effect"
import { KtCompat, KtTransport, Storage } from "effect-kv"
import { type Got, items, keys, type Round, rounds } from "./fixtures/ktContended.js"
import { describeUnless, freshSchema, unavailable } from "./postgres/shared.js"
import { clientOf, storageOn } from "./postgres/stores.js"
import { type Child, child, damage, linesOf, open, tempFile } from "./support.js"

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)
const ascending = (values: ReadonlyArray<number>) => [...values].sort((a, b) => a - b)
const sum = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0)

/** A client of a database in this process. */
const clientOn = (storage: Storage.Storage["Type"]) =>
  Effect.map(
    Layer.build(Layer.provide(KtTransport.layer(), Layer.succeed(Storage.Storage, storage))),
    (context) =>
      Effect.provideService(KtCompat.make(), KtTransport.KtTransport, Context.get(context, KtTransport.KtTransport))
  ).pipe(Effect.flatten)

/** Where the processes find the database, a client of the test's own, and what is wrong with the database. */
const databases = [
  {
    make: Effect.map(tempFile, (filename) => ({
      damage: damage(filename),
      open: Effect.flatMap(open({ filename }), ({ storage }) => clientOn(storage)),
      where: filename
    })),
    name: "SQLite",
    why: undefined
  },
  {
    make: Effect.map(freshSchema, ({ url }) => ({
      damage: Effect.succeed([]),
      open: Effect.flatMap(Effect.flatMap(clientOf({ url }), storageOn), clientOn),
      where: Redacted.value(url)
    })),
    name: "PostgreSQL",
    why: unavailable
  }
]

const processes = 4

/** What a process got in a round. */
const gotIn = <R extends Round>(_: R, { line }: Child): Effect.Effect<Got[R]> =>
  Effect.map(line, (text) => {
    assert.isFalse(text.startsWith("failed"), text)
    return JSON.parse(text)
  })

/** The numbers that the keys of a queue's items tell. */
const idsIn = (kt: KtCompat.KtCompat<string, string>, queue: string) =>
  Effect.map(kt.matchPrefix(`${queue}\t`), (keys) => keys.map((key) => Number(key.slice(-12))))

for (const { make, name, why } of databases) {
  describeUnless(why, `processes with KtCompat on ${name}`, () => {
    it.scopedLive(
      `${processes} of them get each item once, lose nothing, and count right`,
      () =>
        Effect.gen(function*() {
          const database = yield* make
          const kt = yield* database.open
          yield* kt.Queue(keys.popped).extend(numbers(items).map((i) => `item ${i}`), { score: 1 })
          yield* kt.setBulk(numbers(rounds.seized).map((i) => [keys.seized(i), `value ${i}`] as const))
          const elements = numbers(20).map((i) => `element ${i}`)
          for (const [n, key] of [...keys.lists, keys.rotated].entries()) {
            yield* kt.List(key).extend(elements.map((element) => `${element} of ${n}`))
          }

          const all = yield* Effect.forEach(numbers(processes), (i) =>
            child("ktContend.ts", [database.where, String(i)]), { concurrency: "unbounded" })
          for (const { line } of all) {
            assert.strictEqual(yield* line, "ready")
          }
          const play = <R extends Round>(round: R): Effect.Effect<Array<Got[R]>> =>
            Effect.zipRight(
              Effect.forEach(all, ({ send }) =>
                send(round)),
              Effect.forEach(all, (one) =>
                gotIn(round, one))
            )

          const popped = yield* play("pop")
          console.log(`${processes} processes on ${name} popped ${popped.map(({ length }) => length).join(", ")}`)
          deepStrictEqual(popped.flat().sort(), numbers(items).map((i) => `item ${i}`).sort())
          assert.strictEqual(yield* kt.Queue(keys.popped).count, 0)
          // Numbers go on.
          assert.strictEqual(yield* kt.Queue(keys.popped).add("more"), items + 1)

          // They have what another process adds, while they wait for it.
          const awaited = yield* Effect.fork(play("await"))
          const expected = numbers(processes).map((i) => `awaited ${i}`)
          for (const item of expected) {
            // Most often they are waiting by then.
            yield* Effect.sleep(50)
            yield* kt.Queue(keys.awaited).add(item)
          }
          deepStrictEqual((yield* Fiber.join(awaited)).sort(), expected)
          assert.strictEqual(yield* kt.Queue(keys.awaited).count, 0)

          const ids = (yield* play("add")).flat()
          const added = processes * (2 * rounds.adds + rounds.together)
          assert.strictEqual(ids.length, processes * (rounds.adds + rounds.together))
          assert.strictEqual(new Set(ids).size, ids.length)
          deepStrictEqual(ascending(yield* idsIn(kt, keys.added)), numbers(added).map((i) => i + 1))
          deepStrictEqual(
            [...yield* kt.Queue(keys.added).peekMany(added + 1)].sort(),
            numbers(processes).flatMap((n) => [
              ...numbers(rounds.adds + rounds.together).map((i) => `${n}/${i}`),
              ...numbers(rounds.adds).map((i) => `${n}/extended ${i}`)
            ]).sort()
          )

          const sums = (yield* play("increment")).flat().map(Number)
          const increments = processes * (rounds.increments + rounds.together)
          // Each sum was told to one.
          deepStrictEqual(ascending(sums), numbers(increments).map((i) => i + 1))
          assert.strictEqual(yield* kt.increment(keys.counter, 0), BigInt(increments))
          assert.strictEqual(yield* kt.incrementDouble(keys.double, 0), processes * rounds.doubles / 4)

          deepStrictEqual((yield* play("seize")).flat().sort(), numbers(rounds.seized).map((i) => `value ${i}`).sort())

          const moved = yield* play("move")
          assert.isAbove(sum(moved), 0)
          const lists = yield* Effect.forEach(keys.lists, (key) => kt.List(key).getRange())
          deepStrictEqual(
            lists.flat().sort(),
            [0, 1].flatMap((n) => elements.map((element) => `${element} of ${n}`)).sort()
          )
          const rotated = yield* kt.List(keys.rotated).getRange()
          // As many turned it one way as the other.
          deepStrictEqual(rotated, elements.map((element) => `${element} of 2`))

          deepStrictEqual(yield* play("hash"), numbers(processes).map(() => 1))
          const fields = yield* kt.Hash(keys.hash).getAll
          assert.isTrue(numbers(processes).map(String).includes(fields.get("common") ?? ""))
          deepStrictEqual(
            new Map([...fields].filter(([field]) => field !== "common")),
            new Map(
              numbers(processes).flatMap((n) =>
                numbers(rounds.fields).flatMap((i) => [[`${n}/${i}`, String(i)], [`${n}/${i}/second`, "2"]] as const)
              )
            )
          )

          const members = sum(yield* play("set"))
          // Each was new to one.
          assert.strictEqual(members, (processes + 1) * rounds.fields)
          assert.strictEqual(yield* kt.Set(keys.members).count, members)
          deepStrictEqual(yield* database.damage, [])
        }),
      60_000
    )

    it.scopedLive(
      "that are killed while they pop and add lose only what was handed out; no item comes twice, and no number",
      () =>
        Effect.gen(function*() {
          const random = new Utils.PCGRandom(7)
          const database = yield* make
          const kills = name === "SQLite" ? 12 : 6
          const told: Array<ReadonlyArray<string>> = []
          const lane = (lane: number) =>
            Effect.forEach(numbers(kills / 3), (n) =>
              Effect.gen(function*() {
                const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
                const worker = yield* Scope.extend(child("ktWork.ts", [database.where, `${lane}.${n}`]), scope)
                const lines: Array<string> = []
                const until = 10 + random.integer(200)
                while (lines.length < until) lines.push(yield* worker.line)
                yield* Scope.close(scope, Exit.void)
                told.push([...lines, ...yield* linesOf(worker)])
              }))
          yield* Effect.forEach(numbers(3), lane, { concurrency: "unbounded" })

          const isTold = /^(ready|adding|added|popping|popped) ?(\S*) ?(\d*)\.$/
          const adding = new Set<string>()
          const numbered = new Map<number, string>()
          const popped: Array<string> = []
          let mayBeLost = 0
          for (const lines of told) {
            let last = ""
            for (const line of lines) {
              const [, what = "", item = "", id = ""] = isTold.exec(line) ?? []
              assert.isFalse(line.startsWith("failed"), line)
              if (what !== "") last = what
              if (what === "adding") adding.add(item)
              if (what === "added") {
                assert.isFalse(numbered.has(Number(id)), `${item} has the number of ${numbered.get(Number(id))}`)
                numbered.set(Number(id), item)
              }
              if (what === "popped" && item !== "nothing") popped.push(item)
            }
            if (last === "popping") mayBeLost++
          }
          assert.strictEqual(told.length, kills)

          const kt = yield* database.open
          const queue = kt.Queue("work")
          const left = yield* queue.peekMany(1e6)
          const leftIds = yield* idsIn(kt, "work")
          // No item twice.
          const seen = [...popped, ...left]
          assert.strictEqual(new Set(seen).size, seen.length)
          for (const item of seen) assert.isTrue(adding.has(item), item)
          // Nothing lost.
          const there = new Set(seen)
          const lost = [...numbered.values()].filter((item) => !there.has(item))
          assert.isAtMost(lost.length, mayBeLost, lost.join(", "))
          // No number twice.
          assert.strictEqual(new Set(leftIds).size, leftIds.length)
          for (const [i, id] of leftIds.entries()) {
            const item = numbered.get(id)
            if (item !== undefined) assert.strictEqual(item, left[i])
          }
          const next = yield* queue.add("next")
          assert.isAbove(next, Math.max(...numbered.keys(), ...leftIds))
          console.log(
            `${kills} kills on ${name}: ${numbered.size} added, ${popped.length} popped, ${left.length} left, ` +
              `${lost.length} of ${mayBeLost} that may be lost are`
          )
          assert.isAbove(popped.length, kills)
          deepStrictEqual(yield* database.damage, [])
        }),
      60_000
    )
  })
}
