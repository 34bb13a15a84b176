/**
 * effect-kv measured: against the raw drivers, against its peers if they are installed, its sweep and its memory.
 *
 *     npm install --prefix bench      # once, for the peers
 *     npm run bench                   # all
 *     npm run bench -- peers memory   # some
 */
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { againstPeers } from "./againstPeers.js"
import { againstPostgres } from "./againstPostgres.js"
import { againstRaw } from "./againstRaw.js"
import { printMachine, say } from "./harness.js"
import { http } from "./http.js"
import { kt } from "./kt.js"
import { memoize } from "./memoize.js"
import { memory } from "./memory.js"
import { sweep } from "./sweep.js"
import { timeToLive } from "./timeToLive.js"

const sections: Record<
  string,
  readonly [title: string, run: (folder: string) => Effect.Effect<unknown, unknown>]
> = {
  raw: ["Against better-sqlite3, prepared statements", againstRaw],
  ttl: ["TtlStore against KeyValueStore", timeToLive],
  memoize: ["Memoize against better-sqlite3 and a Deferred, then against peers; below 1 is ahead", memoize],
  http: ["HttpCache against the same client without it, then against undici's cache", http],
  kt: ["KtCompat against a Map behind an Effect, then by itself", kt],
  peers: ["Against peers; below 1 is ahead", (folder) => Effect.promise(() => againstPeers(folder))],
  postgres: ["Against pg on PostgreSQL, pools of 10", () => againstPostgres],
  sweep: ["Sweep of what has expired", sweep],
  memory: ["Memory", memory]
}

const names = process.argv.slice(2)
const unknown = names.filter((name) => !(name in sections))
if (unknown.length > 0) {
  say(`no such section: ${unknown.join(", ")}; there are ${Object.keys(sections).join(", ")}`)
  process.exit(1)
}

const program = Effect.gen(function*() {
  printMachine()
  say(`npm run bench${names.length === 0 ? "" : ` -- ${names.join(" ")}`}; medians of runs that take turns`)
  for (const [name, [title, run]] of Object.entries(sections)) {
    if (names.length > 0 && !names.includes(name)) continue
    say(`\n${title}\n`)
    yield* Effect.acquireUseRelease(
      Effect.sync(() => mkdtempSync(path.join(os.tmpdir(), "effect-kv-bench-"))),
      run,
      (folder) => Effect.sync(() => rmSync(folder, { force: true, recursive: true }))
    )
  }
})

await Effect.runPromise(program)
