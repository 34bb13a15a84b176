/** The folder that a server has to itself, gone when no process uses it any more. */
import type { Scope } from "effect"
import { Deferred, Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as readline from "node:readline"
import type { Writable } from "node:stream"
import { attempt, failed, type PostgresError } from "./error.js"

/** Who owns the folder and runs the server; undefined for oneself. PostgreSQL refuses to run as root. */
export const user = process.getuid?.() === 0 ? { gid: 65534, uid: 65534 } : undefined

export interface Folder {
  /** While a process has this open, the folder stays. */
  readonly hold: Writable
  readonly name: string
}

const prefix = "effect-kv-pg-"

/** Whether the server's user can go there. */
export const passable = (folder: string): boolean =>
  user === undefined || folder === path.dirname(folder) ||
  ((fs.statSync(folder).mode & 0o001) !== 0 && passable(path.dirname(folder)))

/** Room for the path of a socket, on the system that has least; and the server's user can go there. */
const suits = (parent: string) =>
  Buffer.byteLength(path.join(parent, `${prefix}XXXXXX`, ".s.PGSQL.5432")) < 104 && passable(parent)

/**
 * Makes a folder in `$0`, says its name, and removes it when nobody has the other end of the input any more. A server
 * that was killed has left a segment of shared memory as well, which its lock file names.
 */
const keeper = `
trap '' HUP INT PIPE TERM
folder=$(mktemp -d "$0/${prefix}XXXXXX") || exit 1
echo "$folder"
cat
segment=$(sed -n '7s/.* //p' "$folder/data/postmaster.pid" 2>/dev/null)
[ -z "$segment" ] || ipcrm -m "$segment"
rm -rf "$folder"
`

/** A new folder in the given one, or in /tmp if that does not suit. */
export const makeFolder = (parent: string): Effect.Effect<Folder, PostgresError, Scope.Scope> =>
  Effect.gen(function*() {
    const gone = yield* Deferred.make<void>()
    const child = yield* Effect.acquireRelease(
      attempt("No folder was made", () => {
        // Detached: what a terminal or a shell sends to the tests does not reach it.
        const child = spawn("sh", ["-c", keeper, suits(parent) ? parent : "/tmp"], { detached: true })
        child.on("close", () => Deferred.unsafeDone(gone, Effect.void))
        child.stdin.on("error", () => undefined)
        return child
      }),
      ({ stdin }) => Effect.zipRight(Effect.sync(() => stdin.end()), Deferred.await(gone))
    )
    const name = yield* Effect.async<string, PostgresError>((resume) => {
      const complaints: Array<string> = []
      child.on("error", (cause) => complaints.push(String(cause)))
      child.on("close", () => resume(failed("No folder was made", complaints)))
      readline.createInterface(child.stderr).on("line", (line) => complaints.push(line))
      readline.createInterface(child.stdout).once("line", (line) => resume(Effect.succeed(line)))
    })
    // Only its owner may enter it: the server in it asks for no password.
    if (user !== undefined) {
      yield* attempt(`${name} did not get its owner`, () => fs.chownSync(name, user.uid, user.gid))
    }
    return { hold: child.stdin, name }
  })
