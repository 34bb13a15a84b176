/**
 * Responses as the client gets them: those from the store, and those from the origin whose bodies are stored on their
 * way.
 *
 * @internal
 */
import * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import { ResponseError } from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { IncomingMessage } from "node:http"

/**
 * Where a body comes from.
 *
 * @internal
 */
export interface Source {
  /** How all of it is had, if there is a quicker way than the stream. */
  readonly collect?: Effect.Effect<Uint8Array, unknown>
  readonly stream: Stream.Stream<Uint8Array, unknown>
  /** If it is at hand. */
  readonly whole: Uint8Array | undefined
}

/** @internal */
export const emptyBody: Source = { stream: Stream.empty, whole: new Uint8Array(0) }

/**
 * All of a stream.
 *
 * @internal
 */
export const collectedOf = <E>(stream: Stream.Stream<Uint8Array, E>): Effect.Effect<Uint8Array, E> =>
  Effect.map(Stream.runCollect(stream), (pieces) => Buffer.concat(Chunk.toArray(pieces)))

const decoder = new TextDecoder()

/** @internal */
export class Response extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly headers: Headers.Headers
  private read: Uint8Array | undefined
  private result: Deferred.Deferred<Uint8Array, ResponseError> | undefined
  private reading: Fiber.Fiber<Uint8Array, ResponseError> | undefined
  private readers = 0

  constructor(
    readonly request: HttpClientRequest.HttpClientRequest,
    readonly status: number,
    headers: Readonly<Record<string, string>>,
    private readonly setCookie: Cookies.Cookies | ReadonlyArray<string>,
    private readonly source: Source,
    readonly remoteAddress: Option.Option<string> = Option.none()
  ) {
    super()
    this.headers = Headers.fromInput(headers)
    this.read = source.whole
  }

  get cookies(): Cookies.Cookies {
    return Cookies.isCookies(this.setCookie) ? this.setCookie : Cookies.fromSetCookie(this.setCookie)
  }

  get stream(): Stream.Stream<Uint8Array, ResponseError> {
    return Stream.suspend(() =>
      this.read === undefined
        ? Stream.mapError(this.source.stream, (cause) => this.failed(cause))
        : Stream.make(this.read)
    )
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer, ResponseError> {
    return Effect.map(this.bytes, (bytes) => new Uint8Array(bytes).buffer)
  }

  get text(): Effect.Effect<string, ResponseError> {
    return Effect.map(this.bytes, (bytes) => decoder.decode(bytes))
  }

  get json(): Effect.Effect<unknown, ResponseError> {
    return Effect.flatMap(this.text, (text) =>
      Effect.try({
        catch: (cause) => this.failed(cause),
        try: (): unknown => text === "" ? null : JSON.parse(text)
      }))
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, ResponseError> {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get formData(): Effect.Effect<FormData, ResponseError> {
    return Effect.flatMap(this.arrayBuffer, (buffer) =>
      Effect.tryPromise({
        catch: (cause) => this.failed(cause),
        try: () =>
          new globalThis.Response(buffer, { headers: { "content-type": this.headers["content-type"] ?? "" } })
            .formData()
      }))
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "@effect/platform/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }

  /** It is read once, for all who want it. Who is interrupted keeps nobody from it; without anybody it is given up. */
  private get bytes(): Effect.Effect<Uint8Array, ResponseError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        if (this.read !== undefined) return Effect.succeed(this.read)
        this.readers++
        const begun = this.result === undefined ? this.begin() : Effect.succeed(this.result)
        return Effect.flatMap(begun, (result) => Effect.ensuring(restore(Deferred.await(result)), this.leave))
      })
    )
  }

  /** In the same step as the look-up: nobody may come in between. */
  private begin() {
    const result = this.result = Deferred.unsafeMake<Uint8Array, ResponseError>(FiberId.none)
    const { collect, stream } = this.source
    const reading = Effect.mapBoth(collect ?? collectedOf(stream), {
      onFailure: (cause) => this.failed(cause),
      onSuccess: (bytes) => this.read = bytes
    })
    const over = Effect.onExit(Effect.interruptible(reading), (exit) => Deferred.done(result, exit))
    return Effect.map(Effect.forkDaemon(over), (fiber) => {
      this.reading = fiber
      return result
    })
  }

  private get leave(): Effect.Effect<void> {
    return Effect.suspend(() =>
      --this.readers > 0 || this.read !== undefined || this.reading === undefined
        ? Effect.void
        : Effect.asVoid(Fiber.interruptFork(this.reading))
    )
  }

  private failed(cause: unknown): ResponseError {
    return cause instanceof ResponseError
      ? cause
      : new ResponseError({ cause, reason: "Decode", request: this.request, response: this })
  }
}

/**
 * The body of a response. For one without bytes some transports fail.
 *
 * @internal
 */
export const bodyOf = (
  response: HttpClientResponse.HttpClientResponse
): Stream.Stream<Uint8Array, ResponseError> =>
  Stream.catchAll(response.stream, (error) => error.reason === "EmptyBody" ? Stream.empty : Stream.fail(error))

/**
 * A response with other headers, and the same body.
 *
 * @internal
 */
export const withHeaders = (
  response: HttpClientResponse.HttpClientResponse,
  headers: Readonly<Record<string, string>>
): HttpClientResponse.HttpClientResponse => {
  const given = Headers.fromInput(headers)
  return new Proxy(response, {
    get: (target, name) => {
      if (name === "headers") return given
      const value: unknown = Reflect.get(target, name, target)
      return value
    }
  })
}

/** That of the transport. */
const innermost = (response: object): object => {
  let own = response
  while ("original" in own && typeof own.original === "object" && own.original !== null) own = own.original
  return own
}

/** What `fetch` has received, if that is where a response is from. What somebody has put together has no URL. */
const fetched = (response: object): globalThis.Response | undefined => {
  const own = innermost(response)
  return "source" in own && own.source instanceof globalThis.Response && own.source.url !== "" ? own.source : undefined
}

/**
 * Has a response without a body be over. Only the client of `node:http` has to be told: its connection is not free before.
 * Reading it would fail with others, if it says that it has a length.
 *
 * @internal
 */
export const finish = (response: HttpClientResponse.HttpClientResponse): void => {
  const own = innermost(response)
  if ("source" in own && own.source instanceof IncomingMessage) own.source.resume()
}

/**
 * Whether the transport has undone the encoding that the headers still tell of, as `fetch` does.
 *
 * @internal
 */
export const isDecoded = (response: HttpClientResponse.HttpClientResponse): boolean =>
  fetched(response) !== undefined &&
  /^(?:(?:x-)?gzip|deflate|br|zstd)(?:\s*,|$)/i.test(response.headers["content-encoding"]?.trim() ?? "")

/**
 * Whether the transport has followed redirects on its own.
 *
 * @internal
 */
export const isRedirected = (response: HttpClientResponse.HttpClientResponse): boolean =>
  fetched(response)?.redirected === true
