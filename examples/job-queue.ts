/**
 * A job queue of three processes on one SQLite file. A job in work is in a second queue, so one whose worker is killed is
 * done again. The program starts itself as the workers.
 *
 *     npx tsx examples/job-queue.ts
 */
import { Config, Console, Data, Effect, Layer, Option } from "effect"
import { KtCompat, KtTransport, Sqlite, Storage } from "effect-kv"
import { spawn } from "node:child_process"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const workers = ["w1", "w2", "w3"]

/** Whoever takes this job first is killed. */
const deadly = "job 50"

const worker = (name: string) =>
  Effect.gen(function*() {
    const kt = yield* KtCompat.KtCompat
    const storage = yield* Storage.Storage
    const begun = kt.Queue(`begun by ${name}`)
    for (;;) {
      // From one queue to the other in one step: at no time is the job in neither.
      const job = yield* kt.Queue("todo").transfer(`begun by ${name}`)
      if (Option.isSome(job)) {
        if (job.value === deadly && (yield* kt.add("killed", name))) process.kill(process.pid, "SIGKILL")
        // The job ends, and is reported: both or nothing.
        yield* storage.transaction(Effect.zipRight(begun.remove(job.value), kt.Queue("done").add(job.value)))
      } else if (Option.isSome(yield* kt.Queue("stop").bpop({ timeout: "50 millis" }))) return
    }
  })

class WorkerFailed extends Data.TaggedError("WorkerFailed")<{ readonly status: number | null }> {}

/** Starts a worker, again if it is killed; tells how often it was started. */
const supervise = (name: string, filename: string) =>
  Effect.gen(function*() {
    const begun = (yield* KtCompat.KtCompat).Queue(`begun by ${name}`)
    const run = Effect.async<boolean, WorkerFailed>((resume) => {
      const started = spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url)], {
        env: { ...process.env, JOBS_DB: filename, JOBS_WORKER: name },
        stdio: "inherit"
      })
      started.on("close", (status, signal) => {
        const isKilled = signal === "SIGKILL"
        resume(isKilled || status === 0 ? Effect.succeed(isKilled) : new WorkerFailed({ status }))
      })
      return Effect.sync(() => started.kill())
    })
    let count = 1
    // What it had begun is to be done again, with the priority that it had.
    for (; yield* run; count++) yield* begun.transferMany("todo", 100)
    return count
  })

const supervisor = (filename: string) =>
  Effect.gen(function*() {
    const kt = yield* KtCompat.KtCompat
    const [todo, done, stop] = [kt.Queue("todo"), kt.Queue("done"), kt.Queue("stop")]
    yield* todo.extend(Array.from({ length: 100 }, (_, i) => `job ${i}`))
    yield* todo.add("urgent", { score: 10 })
    yield* Console.log(`first comes ${(yield* todo.peekMany(3)).join(", ")}`)

    const count = yield* todo.count
    const collect = Effect.gen(function*() {
      const jobs = yield* Effect.replicateEffect(done.bpop({ timeout: "30 seconds" }), count)
      yield* stop.extend(workers)
      return new Set(jobs.flatMap(Option.toArray)).size
    })
    const supervised = Effect.forEach(workers, (name) => supervise(name, filename), { concurrency: "unbounded" })
    const [finished, started] = yield* Effect.all([collect, supervised], { concurrency: "unbounded" })
    const killed = started.reduce((a, b) => a + b) - workers.length

    const left = yield* Effect.forEach(workers, (name) => kt.Queue(`begun by ${name}`).count)
    yield* Console.log(`${finished} of ${count} jobs are done, ${left.reduce((a, b) => a + b)} are begun`)
    yield* Console.log(`${workers.length} workers, ${killed} of which was killed and started again`)
  })

const live = (filename: string) =>
  KtCompat.layer().pipe(
    Layer.provide(KtTransport.layer()),
    Layer.provideMerge(Storage.layer()),
    Layer.provide(Sqlite.layer({ filename, lockTimeout: "30 seconds" }))
  )

const main = Effect.gen(function*() {
  const name = yield* Config.string("JOBS_WORKER").pipe(Config.withDefault(""))
  if (name !== "") return yield* Effect.provide(worker(name), live(yield* Config.string("JOBS_DB")))
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "effect-kv-jobs-"))),
    (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
  )
  const filename = path.join(folder, "jobs.db")
  yield* Effect.provide(supervisor(filename), live(filename))
}).pipe(Effect.scoped)

Effect.runPromise(main)
