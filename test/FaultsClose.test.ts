/** A database that is closed while it is used. */
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Effect, ExecutionStrategy, Exit, Fiber, Option, Predicate, Scope, Utils } from "effect"
import { Storage, StorageError } from "effect-kv"
import { damage, keysOf, open, tempFile } from "./support.js"

const rounds = 10

/** What the user's own SQL fails with is the client's error, which has as its cause what ours or the driver says. */
const isClosed = (failure: unknown) =>
  failure instanceof SqlError
    ? Predicate.hasProperty(failure.cause, "reason") && failure.cause.reason === "Closed" ||
      failure.cause instanceof TypeError && failure.cause.message === "The database connection is not open"
    : failure instanceof StorageError.StorageError && failure.reason === "Closed"

/** Fails if the outcome is anything but a success, an interruption, or the typed error of a closed database. */
const outcome = (exit: Exit.Exit<unknown, unknown>, where: string): "done" | "not told" | "refused" => {
  if (Exit.isSuccess(exit)) return "done"
  if (Cause.isInterruptedOnly(exit.cause)) return "not told"
  assert.isTrue(
    isClosed(Option.getOrUndefined(Cause.failureOption(exit.cause))),
    `${where}: ${Cause.pretty(exit.cause)}`
  )
  return "refused"
}

describe("a scope that closes with writes in flight", () => {
  for (const journalMode of ["WAL", "DELETE"] as const) {
    it.scopedLive(
      `in journal mode ${journalMode}: what was told is written, what was refused is not`,
      () =>
        Effect.gen(function*() {
          const random = new Utils.PCGRandom(8)
          const filename = yield* tempFile
          const outcomes = new Map<string, number>()
          for (let round = 0; round < rounds; round++) {
            const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
            const { sql, storage } = yield* Scope.extend(open({ filename, journalMode }), scope)
            yield* sql`CREATE TABLE IF NOT EXISTS log (message TEXT)`
            const keyspace = yield* storage.keyspace("first")
            const other = yield* storage.keyspace("second")
            /** Each writes two entries at least, or one, under its own name. */
            const kinds: Record<string, (name: string) => Effect.Effect<unknown, unknown>> = {
              modify: (name) => keyspace.modify(name, () => [undefined, Storage.put(name)]),
              set: (name) => keyspace.set(name, name),
              setMany: (name) =>
                keyspace.setMany([name, `${name}'`].map((key) => ({ expiresAt: undefined, key, value: name }))),
              sql: (name) => sql`INSERT INTO log (message) VALUES (${name})`,
              transaction: (name) =>
                storage.transaction(Effect.gen(function*() {
                  yield* keyspace.set(name, name)
                  if (random.integer(2) === 0) yield* Effect.yieldNow()
                  if (random.integer(8) === 0) yield* Effect.sleep(0)
                  yield* other.set(name, name)
                }))
            }
            const names = Array.from({ length: 300 }, (_, i) => {
              const kind = Object.keys(kinds)[random.integer(5)]!
              return { kind, name: `${kind} ${round} ${i}` }
            })
            const writers = yield* Effect.forEach(names, ({ kind, name }) =>
              Effect.fork(Effect.exit(
                Effect.zipRight(
                  Effect.repeatN(Effect.yieldNow(), random.integer(random.integer(3) === 0 ? 2000 : 20)),
                  kinds[kind]!(name)
                )
              )))
            yield* Effect.repeatN(Effect.yieldNow(), random.integer(25))
            // Some give up in the same moment.
            const leaving = yield* Effect.forkDaemon(
              Fiber.interruptAll(writers.filter(() => round % 2 === 1 && random.integer(4) === 0))
            )
            yield* Scope.close(scope, Exit.void)
            yield* Fiber.join(leaving)
            // Nobody hangs; and it is not the test that interrupts them.
            const exits = yield* Effect.forEach(writers, (writer) => Effect.map(Fiber.await(writer), Exit.flatten))

            const found = yield* Effect.scoped(Effect.gen(function*() {
              const { sql, storage } = yield* open({ filename, journalMode })
              return {
                first: new Set(yield* keysOf(yield* storage.keyspace("first"))),
                log: new Set((yield* sql<{ readonly message: string }>`SELECT message FROM log`).map((_) => _.message)),
                second: new Set(yield* keysOf(yield* storage.keyspace("second")))
              }
            }))
            names.forEach(({ kind, name }, i) => {
              const where = `round ${round}, ${name}`
              const told = outcome(exits[i]!, where)
              outcomes.set(told, (outcomes.get(told) ?? 0) + 1)
              const parts = kind === "sql"
                ? [found.log.has(name)]
                : kind === "setMany"
                ? [found.first.has(name), found.first.has(`${name}'`)]
                : kind === "transaction"
                ? [found.first.has(name), found.second.has(name)]
                : [found.first.has(name)]
              assert.strictEqual(new Set(parts).size, 1, `${where} is there in part`)
              if (told !== "not told") assert.strictEqual(parts[0], told === "done", `${where} was ${told}`)
            })
            deepStrictEqual(yield* damage(filename), [])
          }
          // Otherwise the moments were badly chosen.
          assert.isAbove(outcomes.get("done") ?? 0, 100)
          assert.isAbove(outcomes.get("refused") ?? 0, 100)
          assert.isAbove(outcomes.get("not told") ?? 0, 10)
        }),
      60_000
    )
  }
})
