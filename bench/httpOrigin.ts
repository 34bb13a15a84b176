/**
 * The origin of the HTTP measurements: a server in a process of its own, so that it does not share a core with what is
 * measured. Run by itself, this module is that process.
 */
import { Effect } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import * as http from "node:http"
import { fileURLToPath } from "node:url"

export const small = 1000
export const medium = 100_000
export const large = 10_000_000
/** For how many milliseconds a slow response is waited for. */
export const delay = 20

/** By the first part of the path; what follows it makes URLs differ. */
const kinds = { large, medium, slow: small, small, validated: small }

export type Kind = keyof typeof kinds

const bodies = new Map(Object.entries(kinds).map(([kind, bytes]) => [kind, Buffer.alloc(bytes, "x")]))

const serve = async (): Promise<void> => {
  let asked = 0
  const server = http.createServer(({ headers, url = "" }, response) => {
    const kind = url.split("/")[1] ?? ""
    if (kind === "asked") {
      response.end(String(asked))
      asked = 0
      return
    }
    asked++
    const body = bodies.get(kind)
    if (body === undefined) {
      response.writeHead(404).end()
      return
    }
    const etag = `"${kind}"`
    const fields = {
      "cache-control": kind === "validated" ? "no-cache" : "max-age=3600",
      "content-type": "text/plain",
      etag
    }
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "")
    if (headers["if-none-match"] === etag) {
      response.writeHead(304, fields).end()
    } else if (range === null) {
      const respond = () => response.writeHead(200, { ...fields, "content-length": body.byteLength }).end(body)
      if (kind === "slow") setTimeout(respond, delay)
      else respond()
    } else {
      const [first, last] = [Number(range[1]), Number(range[2])]
      response.writeHead(206, {
        ...fields,
        "content-length": last - first + 1,
        "content-range": `bytes ${first}-${last}/${body.byteLength}`
      }).end(body.subarray(first, last + 1))
    }
  })
  // Who has started it ends it: also by ending itself.
  process.on("disconnect", () => process.exit())
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address !== null && typeof address === "object") process.send?.(address.port)
}

export interface Origin {
  readonly urlOf: (kind: Kind, id: number) => string
  /** A URL that was never asked for. */
  readonly fresh: (kind: Kind) => string
  /** How many requests came since this was asked last. */
  readonly asked: Effect.Effect<number>
}

const started = Effect.promise(async (): Promise<readonly [ChildProcess, port: unknown]> => {
  const child = fork(fileURLToPath(import.meta.url), { execArgv: [] })
  const [port]: Array<unknown> = await once(child, "message")
  return [child, port]
})

export const openOrigin = Effect.map(
  Effect.acquireRelease(started, ([child]) => Effect.sync(() => child.disconnect())),
  ([, port]): Origin => {
    const url = `http://127.0.0.1:${String(port)}`
    const urlOf = (kind: Kind, id: number) => `${url}/${kind}/${id}`
    let last = 1_000_000
    return {
      asked: Effect.promise(async () => Number(await (await fetch(`${url}/asked`)).text())),
      fresh: (kind) => urlOf(kind, last++),
      urlOf
    }
  }
)

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve()
