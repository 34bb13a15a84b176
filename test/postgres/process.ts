/** Programs of PostgreSQL that run, and do not outlive the process that started them. */
import { Deferred, Effect } from "effect"
import type { ChildProcess } from "node:child_process"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as readline from "node:readline"
import { Writable } from "node:stream"
import { attempt, failed, type PostgresError } from "./error.js"
import { type Folder, user } from "./folder.js"

export interface Running {
  readonly child: ChildProcess
  /** When it has ended, and every process that it has started. */
  readonly closed: Effect.Effect<void>
  /** When it has said what it was to say, or else has ended well. */
  readonly ready: Effect.Effect<void, PostgresError>
}

/**
 * Becomes the command in its arguments, and stops it at once if the other end of descriptor 3 is gone without a line.
 * What waits for that is nobody's child: a child that PostgreSQL does not know would alarm it.
 */
const guarded = `
( (read -r line <&3 || kill -QUIT $$) >/dev/null 2>&1 & )
exec "$@" 3<&-
`

export const launch = (
  { hold, name }: Folder,
  command: string,
  args: ReadonlyArray<string>,
  says?: string
): Effect.Effect<Running, PostgresError> =>
  Effect.gen(function*() {
    const closed = yield* Deferred.make<void>()
    const ready = yield* Deferred.make<void, PostgresError>()
    const child = yield* attempt(`${command} was not started`, () =>
      spawn("sh", ["-c", guarded, "sh", command, ...args], {
        cwd: name,
        detached: true,
        env: { LC_ALL: "C", PATH: process.env.PATH, TZ: "UTC" },
        // It and all that come from it inherit the last, and so hold the folder.
        stdio: ["ignore", "ignore", "pipe", "pipe", hold],
        ...user
      }))
    const lines: Array<string> = []
    if (child.stderr !== null) {
      readline.createInterface(child.stderr).on("line", (line) => {
        if (lines.push(line) > 50) {
          lines.shift()
        }
        if (says !== undefined && line.includes(says)) {
          Deferred.unsafeDone(ready, Effect.void)
        }
      })
    }
    const guard = child.stdio[3]
    guard?.on("error", () =>
      undefined)
    child.on("error", (cause) =>
      lines.push(String(cause)))
    child.on("exit", () => guard instanceof Writable && guard.end("\n"))
    // Its children have its standard error from it.
    child.on("close", (code, signal) => {
      const well = says === undefined && code === 0
      Deferred.unsafeDone(ready, well ? Effect.void : failed(`${command} ended with ${code ?? signal}`, lines))
      Deferred.unsafeDone(closed, Effect.void)
    })
    return { child, closed: Deferred.await(closed), ready: Deferred.await(ready) }
  })

export const end = ({ child, closed }: Running, signal: NodeJS.Signals): Effect.Effect<void> =>
  Effect.zipRight(Effect.sync(() => child.kill(signal)), closed)

const childrenOf = (pid: number) => {
  const list = `/proc/${pid}/task/${pid}/children`
  if (fs.existsSync(list)) return fs.readFileSync(list, "utf8").split(" ").filter((child) => child !== "").map(Number)
  return execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" }).split("\n")
    .map((line) => line.trim().split(/ +/).map(Number))
    .flatMap(([child, parent]) => child !== undefined && parent === pid ? [child] : [])
}

/** Ends it and its children with SIGKILL. */
export const crash = ({ child, closed }: Running): Effect.Effect<void> =>
  Effect.zipRight(
    Effect.sync(() => {
      // Stopped, it starts no more of them.
      if (child.pid === undefined || !child.kill("SIGSTOP")) return
      try {
        for (const pid of childrenOf(child.pid)) {
          try {
            process.kill(pid, "SIGKILL")
          } catch {
            // It has ended by itself.
          }
        }
      } finally {
        child.kill("SIGKILL")
      }
    }),
    closed
  )
