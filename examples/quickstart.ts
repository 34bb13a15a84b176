/**
 * Facts about every file of a source tree, by a memoised function: computed once, and kept for a while on SQLite.
 *
 *     npm run quickstart            this repository
 *     npm run quickstart -- <root>  another tree
 *
 * The second run is served from the store. A changed file is computed again, a vanished one is removed, and what has
 * expired is swept. The database is `.quickstart/files.db` under the current folder, or what `QUICKSTART_DB` says. Facts
 * live for 30 days, or what `QUICKSTART_TTL` says: try "5 seconds".
 */
import { Config, Console, Data, Effect, Layer, Option, Schema } from "effect"
import { KeyValueStore, Memoize, Sqlite, Storage } from "effect-kv"
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"

/** What is worth knowing of a file, with the size and time by which a change is noticed. */
const Facts = Schema.Struct({
  size: Schema.Number,
  modified: Schema.Number,
  lines: Schema.Number,
  words: Schema.Number,
  longestLine: Schema.Number,
  sha256: Schema.String
})

/** The files of each tree as it was found last: those that are not there any more have vanished. */
class Trees extends KeyValueStore.Tag<Trees>()("quickstart/Trees", {
  keyspace: "trees",
  onDecodeFailure: "miss",
  value: Schema.Array(Schema.String)
}) {}

class FileError extends Data.TaggedError("FileError")<{ readonly file: string; readonly cause: unknown }> {
  override get message(): string {
    return `${this.file} cannot be read: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

const reading = <A>(file: string, read: (file: string) => Promise<A>): Effect.Effect<A, FileError> =>
  Effect.tryPromise({ try: () => read(file), catch: (cause) => new FileError({ cause, file }) })

/** What cannot be read is reported and left out. */
const orSkip = <A, E, R>(self: Effect.Effect<A, E | FileError, R>) =>
  Effect.catchIf(
    Effect.map(self, Option.some),
    (error): error is FileError => error instanceof FileError,
    (error) => Effect.as(Effect.logWarning(error.message), Option.none<A>())
  )

const isSkipped = (name: string): boolean => name === "node_modules" || name === "dist" || name.startsWith(".")

const walk = (folder: string): Effect.Effect<Array<string>, FileError> =>
  Effect.gen(function*() {
    const files: Array<string> = []
    for (const entry of yield* reading(folder, (_) => fs.readdir(_, { withFileTypes: true }))) {
      const file = path.join(folder, entry.name)
      if (entry.isFile()) files.push(file)
      else if (entry.isDirectory() && !isSkipped(entry.name)) {
        for (const nested of Option.getOrElse(yield* orSkip(walk(file)), () => [])) files.push(nested)
      }
    }
    return files
  })

const count = (content: Buffer) => {
  const lines = content.toString().split(/\r?\n/)
  return {
    lines: lines.length,
    words: lines.reduce((sum, line) => sum + line.split(/\s+/).filter((word) => word !== "").length, 0),
    longestLine: lines.reduce((longest, line) => Math.max(longest, line.length), 0),
    sha256: createHash("sha256").update(content).digest("hex")
  }
}

const program = Effect.gen(function*() {
  let computed = 0
  const factsOf = yield* Memoize.make({
    name: "factsOf",
    args: Schema.Tuple(Schema.String, Schema.Number, Schema.Number),
    success: Facts,
    timeToLive: yield* Config.duration("QUICKSTART_TTL").pipe(Config.withDefault("30 days")),
    // One answer a file: that of its last change.
    key: (file) => file
  }, (file, size, modified) =>
    Effect.map(reading(file, (_) => fs.readFile(_)), (content) => {
      computed++
      return { modified, size, ...count(content) }
    }))

  const visit = (file: string) =>
    Effect.gen(function*() {
      // Before reading: what is written in between is found changed by the next run.
      const { mtimeMs: modified, size } = yield* reading(file, (_) => fs.stat(_))
      const facts = yield* factsOf(file, size, modified)
      const isChanged = facts.size !== size || facts.modified !== modified
      return { facts: isChanged ? yield* factsOf.refresh(file, size, modified) : facts, file }
    })

  const root = path.resolve(process.argv[2] ?? path.dirname(import.meta.dirname))
  const found = yield* walk(root)
  const visited = (yield* Effect.forEach(found, (file) => orSkip(visit(file)), { concurrency: 8 })).flatMap(
    Option.toArray
  )
  // What was computed again has taken the place of what it was before, and is not expired.
  const { maintenance } = yield* Storage.Storage
  const swept = yield* maintenance.compact

  const before = yield* (yield* Trees).swap(root, found)
  const present = new Set(found)
  let removed = 0
  for (const file of Option.getOrElse(before, () => [])) {
    if (!present.has(file) && (yield* factsOf.invalidate(file, 0, 0))) removed++
  }

  const total = (of: (facts: typeof Facts.Type) => number) => visited.reduce((sum, { facts }) => sum + of(facts), 0)
  const longest = visited.reduce((a, b) => (a?.facts.lines ?? 0) >= b.facts.lines ? a : b, visited.at(0))
  const copies = visited.length - new Set(visited.map(({ facts }) => facts.sha256)).size
  yield* Console.log(`${root}: ${visited.length} files, ${total((_) => _.lines)} lines, ${total((_) => _.words)} words`)
  if (longest !== undefined) {
    yield* Console.log(`most lines: ${path.relative(root, longest.file)}, ${longest.facts.lines}`)
  }
  yield* Console.log(`copies of another file: ${copies}, removed from the store: ${removed}`)
  yield* Console.log(`swept: ${swept}`)
  yield* Console.log(`from the store: ${visited.length - computed}, computed: ${computed}`)
})

const SqliteLive = Sqlite.layerConfig({
  filename: Config.string("QUICKSTART_DB").pipe(Config.withDefault(".quickstart/files.db"))
})

// The program sweeps by itself.
const StorageLive = Layer.provide(Storage.layer({ sweep: false }), SqliteLive)

program.pipe(
  Effect.scoped,
  Effect.provide(Layer.provideMerge(Trees.layer, StorageLive)),
  Effect.catchAll((error) =>
    Effect.zipRight(
      Console.error(error.message),
      Effect.sync(() => {
        process.exitCode = 1
      })
    )
  ),
  Effect.runPromise
)
