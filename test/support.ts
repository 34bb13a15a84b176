/**
 * What the tests of the embedded engine share: folders that go with their scope, opened databases, other processes.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { Chunk, Context, Deferred, Effect, Exit, Fiber, Layer, Option, Queue, Stream } from "effect"
import { Sqlite, Storage } from "effect-kv"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as readline from "node:readline"
import { inject } from "vitest"

/** A new folder, gone when the scope closes. */
export const tempFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-kv-test-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { force: true, recursive: true }))
)

/** Where a database file may be made, in a new folder. */
export const tempFile = Effect.map(tempFolder, (folder) => path.join(folder, "data.db"))

/** A database with a Storage on it, for as long as the scope lives. */
export const open = (options: Sqlite.Options) =>
  Layer.build(Layer.provideMerge(Storage.layer({ sweep: false }), Sqlite.layer(options))).pipe(
    Effect.map((context) => ({
      sql: Context.get(context, SqliteClient.SqliteClient),
      storage: Context.get(context, Storage.Storage)
    }))
  )

/** Every key of a keyspace, in order. */
export const keysOf = (keyspace: Storage.Keyspace) => Effect.map(Stream.runCollect(keyspace.keys()), Chunk.toArray)

/** What many ask for at once. On a single connection something else has it first, so all of them wait for it. */
export const atOnce = <A, E, R>(fibers: number, self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const storage = yield* Storage.Storage
    const [held, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const holding = yield* Effect.fork(
      storage.transaction(Effect.zipRight(Deferred.succeed(held, undefined), Deferred.await(go)))
    )
    yield* Deferred.await(held)
    const asking = yield* Effect.fork(Effect.replicateEffect(self, fibers, { concurrency: "unbounded" }))
    yield* Effect.repeatN(Effect.yieldNow(), 200)
    yield* Deferred.succeed(go, undefined)
    yield* Fiber.join(holding)
    return yield* Fiber.join(asking)
  })

const project = path.dirname(path.dirname(new URL(import.meta.url).pathname))

/** A file of test/fixtures, compiled. */
export const fixture = (name: string) => path.join(inject("compiled"), "fixtures", name.replace(/\.ts$/, ".js"))

export interface Child {
  readonly send: (line: string) => Effect.Effect<void>
  /** The next line that the child prints; a defect if it has ended instead. */
  readonly line: Effect.Effect<string>
}

/** Runs a file of test/fixtures in another process, for as long as the scope lives. */
export const child = (
  name: string,
  args: ReadonlyArray<string>,
  { through = [], ...user }: {
    readonly gid?: number
    /** A command that ends by running its arguments in its own place. */
    readonly through?: ReadonlyArray<string>
    readonly uid?: number
  } = {}
) =>
  Effect.gen(function*() {
    const lines = yield* Queue.unbounded<Option.Option<string>>()
    let complaints = ""
    const spawned = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const [command = "", ...rest] = [...through, process.execPath, fixture(name), ...args]
        const spawned = spawn(command, rest, {
          cwd: project,
          env: { ...process.env, HOME: os.tmpdir() },
          stdio: ["pipe", "pipe", "pipe"],
          ...user
        })
        readline.createInterface(spawned.stdout).on("line", (line) => lines.unsafeOffer(Option.some(line)))
        spawned.stderr.on("data", (data) => complaints += String(data))
        spawned.stdin.on("error", () => undefined)
        spawned.on("close", () => lines.unsafeOffer(Option.none()))
        return spawned
      }),
      (spawned) =>
        Effect.async<void>((resume) => {
          if (spawned.exitCode !== null || spawned.signalCode !== null) return resume(Effect.void)
          spawned.on("close", () => resume(Effect.void))
          spawned.kill("SIGKILL")
        })
    )
    return {
      line: Effect.flatMap(
        Queue.take(lines),
        Option.match({
          onNone: () => Effect.dieMessage(`the child process ended: ${complaints}`),
          onSome: Effect.succeed
        })
      ),
      send: (line) => Effect.sync(() => void spawned.stdin.write(`${line}\n`))
    } satisfies Child
  })

/** Every line that a child still prints until it ends. */
export const linesOf = ({ line }: Child) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    for (;;) {
      const next = yield* Effect.exit(line)
      if (Exit.isFailure(next)) return lines
      lines.push(next.value)
    }
  })

/** What is wrong with a file, in SQLite's words. */
export const damage = (filename: string) =>
  Effect.scoped(Effect.flatMap(
    open({ filename }),
    ({ sql }) => Effect.provideService(Sqlite.integrityCheck, SqliteClient.SqliteClient, sql)
  ))

/** `Sqlite.make` for those who have no other use for Reactivity. */
export const openSqlite = (options: Sqlite.Options) => Effect.provide(Sqlite.make(options), Reactivity.layer)
