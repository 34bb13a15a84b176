/** One PostgreSQL server for a run of the tests: one that is there already, or one of the run's own, or none. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Exit, Redacted, Scope } from "effect"
import type { TestProject } from "vitest/node"
import { unavailable } from "./binaries.js"
import { startPostgres } from "./launcher.js"

declare module "vitest" {
  export interface ProvidedContext {
    /** The url of the server, and whether `freshDatabase` works there; or why there is none. */
    readonly postgres: { readonly databases: boolean; readonly url: string } | { readonly unavailable: string }
  }
}

const given = process.env.EFFECT_KV_PG_URL

/** Without its password. */
const name = (url: string) => {
  const { host, pathname, searchParams } = new URL(url)
  return `${host}${searchParams.get("host") ?? ""}${pathname}`
}

/** Whether the server lets databases be created, in the way that is quick. */
const createsDatabases = (url: string) =>
  PgClient.make({ maxConnections: 1, url: Redacted.make(url) }).pipe(
    Effect.flatMap((sql) =>
      sql`SELECT FROM pg_roles WHERE rolname = current_user AND (rolcreatedb OR rolsuper)
        AND current_setting('server_version_num')::int >= 150000`
    ),
    Effect.map((rows) => rows.length === 1),
    Effect.mapError(({ cause, message }) => new Error(`The server of EFFECT_KV_PG_URL: ${message}: ${cause}`)),
    Effect.scoped,
    Effect.provide(Reactivity.layer)
  )

export default async ({ provide }: TestProject) => {
  if (given !== undefined && given !== "") {
    if (!URL.canParse(given)) throw new Error("EFFECT_KV_PG_URL is not like postgresql://user:password@host/database")
    console.log(`The PostgreSQL tests run on EFFECT_KV_PG_URL: ${name(given)}`)
    provide("postgres", { databases: await Effect.runPromise(createsDatabases(given)), url: given })
    return
  }
  const why = unavailable()
  if (why !== undefined) {
    console.log(`The PostgreSQL tests are skipped: ${why}. EFFECT_KV_PG_URL can name a server for them.`)
    provide("postgres", { unavailable: why })
    return
  }
  const scope = await Effect.runPromise(Scope.make())
  const close = (exit: Exit.Exit<unknown, unknown>) => Scope.close(scope, exit)
  const { url } = await Effect.runPromise(
    startPostgres().pipe(Scope.extend(scope), Effect.onError((cause) => close(Exit.failCause(cause))))
  )
  provide("postgres", { databases: true, url })
  return () => Effect.runPromise(close(Exit.void))
}
