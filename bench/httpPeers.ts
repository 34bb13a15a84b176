/** The peer of `HttpCache`: the cache interceptor of undici. It is no dependency; `npm install --prefix bench`. */
import { missingOf, versionOf } from "./peers.js"

// Imports as from bench/, where the peers are installed.
const { load }: { readonly load: (name: string) => Promise<unknown> } = await import(
  new URL("../../bench/load.mjs", import.meta.url).href
)

interface Dispatcher {
  readonly compose: (...interceptors: ReadonlyArray<unknown>) => Dispatcher
  readonly close: () => Promise<void>
}

interface UndiciModule {
  readonly Agent: new() => Dispatcher
  readonly cacheStores: {
    readonly MemoryCacheStore: new() => unknown
    readonly SqliteCacheStore: new(options: { readonly location: string }) => unknown
  }
  readonly interceptors: {
    readonly cache: (options: { readonly store: unknown; readonly type: "private" }) => unknown
    readonly deduplicate: () => unknown
  }
  readonly request: (
    url: string,
    options: { readonly dispatcher: Dispatcher }
  ) => Promise<{ readonly body: { readonly text: () => Promise<string> } }>
}

/** The body of a GET. */
export type Get = (url: string) => Promise<string>

export interface HttpPeer {
  readonly note: string
  /** Without a cache. */
  readonly plain: Get
  readonly inMemory: Get
  readonly inSqlite: Get | undefined
  /** Those who ask for the same at the same time wait for one response. */
  readonly deduplicated: Get
  readonly close: () => Promise<unknown>
}

export const openUndici = async (filename: string): Promise<HttpPeer | { readonly missing: string }> => {
  const missing = missingOf(["undici"])
  if (missing !== undefined) return { missing }
  const { Agent, cacheStores: { MemoryCacheStore, SqliteCacheStore }, interceptors, request } = await load(
    "undici"
  ) as UndiciModule
  const agents: Array<Dispatcher> = []
  const getOf = (...used: ReadonlyArray<unknown>): Get => {
    const agent = new Agent()
    agents.push(agent)
    const dispatcher = agent.compose(...used)
    return async (url) => (await request(url, { dispatcher })).body.text()
  }
  const cache = (store: unknown) => interceptors.cache({ store, type: "private" })
  let inSqlite: Get | undefined
  let why = ""
  try {
    inSqlite = getOf(cache(new SqliteCacheStore({ location: filename })))
  } catch (error) {
    why = `; its SqliteCacheStore cannot be opened (${String(error).split("\n")[0]})`
  }
  return {
    close: () => Promise.all(agents.map((agent) => agent.close())),
    deduplicated: getOf(interceptors.deduplicate(), cache(new MemoryCacheStore())),
    inMemory: getOf(cache(new MemoryCacheStore())),
    inSqlite,
    note: `undici ${versionOf("undici")}: undici.request with interceptors.cache and its MemoryCacheStore${why}`,
    plain: getOf()
  }
}
