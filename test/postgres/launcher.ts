/**
 * A PostgreSQL server of one's own. It needs no service, no port and no rights, and nothing is left of it when its scope
 * has closed or its process has ended, however that ended.
 */
import type { Scope } from "effect"
import { Effect } from "effect"
import * as os from "node:os"
import * as path from "node:path"
import { installed, placeBinaries, unavailable } from "./binaries.js"
import { attempt, PostgresError } from "./error.js"
import { makeFolder } from "./folder.js"
import { crash, end, launch, type Running } from "./process.js"

export interface Options {
  /** The folder with `bin`, `lib` and `share`. That of the npm package by default. */
  readonly binaries?: string | undefined
  /** Whether what is committed outlives the machine, as on a real server. False by default: that is quicker. */
  readonly durable?: boolean | undefined
  /** Where the server's folder is made. The folder for temporary files by default; /tmp where neither suits. */
  readonly parent?: string | undefined
  /** Settings beside the launcher's own, or in their place. */
  readonly settings?: Readonly<Record<string, string>> | undefined
}

export interface Postgres {
  /** Ends every process of the server with SIGKILL, as in a crash. */
  readonly kill: Effect.Effect<void>
  /** Starts the server again on the same data. If it runs, it is shut down first. */
  readonly restart: Effect.Effect<void, PostgresError>
  readonly socketDirectory: string
  /** Of the database `postgres`. */
  readonly url: string
  readonly urlOf: (database: string) => string
}

const settings = {
  // A file in the folder, where the default leaves a segment behind in a crash.
  dynamic_shared_memory_type: "mmap",
  io_method: "sync",
  listen_addresses: "",
  log_checkpoints: "off",
  // Of statements that fail, the clients are told.
  log_min_messages: "log",
  max_connections: "200",
  max_wal_size: "256MB",
  shared_buffers: "32MB",
  unix_socket_permissions: "0700"
}

const quick = { fsync: "off", full_page_writes: "off", synchronous_commit: "off" }

/** A server that lives as long as the scope. */
export const startPostgres = (options: Options = {}): Effect.Effect<Postgres, PostgresError, Scope.Scope> =>
  Effect.gen(function*() {
    const why = options.binaries === undefined ? unavailable() : undefined
    const native = options.binaries ?? installed()
    if (native === undefined || why !== undefined) {
      return yield* new PostgresError({ message: `PostgreSQL cannot be started: ${why}` })
    }
    const folder = yield* makeFolder(path.resolve(options.parent ?? os.tmpdir()))
    const data = path.join(folder.name, "data")
    const binaries = path.join(folder.name, "postgres")
    yield* attempt("The binaries were not placed", () => placeBinaries(native, binaries))

    const initdb = launch(folder, path.join(binaries, "bin/initdb"), [
      ...["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions", "--no-sync", "--username=postgres"],
      `--pgdata=${data}`
    ])
    yield* Effect.acquireUseRelease(initdb, ({ ready }) => ready, (initdb) => end(initdb, "SIGQUIT"))

    const args = Object.entries({
      ...settings,
      ...(options.durable === true ? {} : quick),
      // By which its processes are told from others.
      cluster_name: path.basename(folder.name),
      unix_socket_directories: `"${folder.name.replaceAll("\"", "\"\"")}"`,
      ...options.settings
    }).flatMap(([name, value]) => ["-c", `${name}=${value}`])

    let server: Running | undefined
    const stop = (how: (server: Running) => Effect.Effect<void>) =>
      Effect.suspend(() => server === undefined ? Effect.void : how(server))
    yield* Effect.addFinalizer(() => stop((server) => end(server, "SIGQUIT")))

    const postgres = launch(
      folder,
      path.join(binaries, "bin/postgres"),
      ["-D", data, ...args],
      "ready to accept connections"
    )
    const start = postgres.pipe(
      Effect.tap((running) => {
        server = running
      }),
      Effect.uninterruptible,
      Effect.flatMap(({ ready }) => ready)
    )
    yield* start

    const urlOf = (database: string) =>
      `postgresql:///${encodeURIComponent(database)}?host=${encodeURIComponent(folder.name)}&port=5432&user=postgres`
    const one = yield* Effect.makeSemaphore(1)
    return {
      kill: one.withPermits(1)(stop(crash)),
      restart: one.withPermits(1)(Effect.zipRight(stop((server) => end(server, "SIGINT")), start)),
      socketDirectory: folder.name,
      url: urlOf("postgres"),
      urlOf
    }
  })
