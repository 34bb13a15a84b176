/**
 * What is moved, as lines of JSON: how they are written, and how they are read from text that anybody may have written.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Value } from "../../Storage.js"

/** @internal */
export const header = { format: "effect-kv", version: 1 } as const

/** They end a line for some readers, Node's `readline` among them. JSON has them only in strings, where they may be escaped. */
const lineEnds = /[\u0085\u2028\u2029]/g

const escape = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`

/**
 * Throws if it is longer than a string can be.
 *
 * @internal
 */
export const toLine = (value: object): string => `${JSON.stringify(value).replace(lineEnds, escape)}\n`

/** @internal */
export const toJson = (value: Value): string | { readonly base64: string } =>
  typeof value === "string"
    ? value
    : { base64: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") }

/** Values are not told: they may be secrets, or large. */
const saying = (message: string) => ({ message: () => ({ message, override: true }) })
const structure = { message: () => "is not a JSON object" }
const base64 = "bytes as {\"base64\":\"...\"}"

const Text = Schema.String.annotations(saying("is not a text"))
const Bytes = Schema.pluck(Schema.Struct({ base64: Schema.Uint8ArrayFromBase64 }), "base64")

const valueAndExpiry = {
  value: Schema.Union(Schema.String, Bytes).annotations(saying(`is neither a text nor ${base64}`)),
  expiresAt: Schema.optionalWith(
    Schema.Int.annotations(saying("is not a whole number of milliseconds since the epoch")),
    { exact: true }
  )
}

const toIssue = (issue: ParseResult.ParseIssue): string =>
  ParseResult.ArrayFormatter.formatIssueSync(issue).slice(0, 1).map(({ message, path: [at] }) =>
    `${at === undefined ? "it" : JSON.stringify(String(at).slice(0, 80))} ${message}`
  ).join()

/**
 * What a line is, or what is wrong with it in words. Members that are not known are refused: what is misspelt would be
 * lost.
 *
 * @internal
 */
export type Decode<A> = (json: unknown) => Either.Either<A, string>

const decoder = <A, I>(schema: Schema.Schema<A, I>): Decode<A> => {
  const decode = ParseResult.decodeUnknownEither(schema, { onExcessProperty: "error" })
  return (json) => Either.mapLeft(decode(json), toIssue)
}

/** @internal */
export const decodeHeader = decoder(
  Schema.Struct({
    format: Schema.Literal(header.format).annotations(saying(`is not ${JSON.stringify(header.format)}`)),
    version: Schema.Literal(header.version).annotations(
      saying(`is not ${header.version}, the only one that is known here; upgrade effect-kv`)
    )
  }).annotations(structure)
)

/** @internal */
export const decodeKeyspace = decoder(
  Schema.Struct({
    keyspace: Text,
    keys: Schema.Literal("text", "bytes").annotations(saying("is neither \"text\" nor \"bytes\""))
  }).annotations(structure)
)

/** @internal */
export interface EntryLine<K> {
  readonly key: K
  readonly value: Value
  readonly expiresAt?: number
}

/** @internal */
export const decodeTextEntry: Decode<EntryLine<string>> = decoder(
  Schema.Struct({ key: Text, ...valueAndExpiry }).annotations(structure)
)

/** @internal */
export const decodeBytesEntry: Decode<EntryLine<Uint8Array>> = decoder(
  Schema.Struct({ key: Bytes.annotations(saying(`is not ${base64}`)), ...valueAndExpiry }).annotations(structure)
)

/** @internal */
export const decodeEnd = decoder(
  Schema.Struct({ entries: Schema.Int.annotations(saying("is not a whole number")) }).annotations(structure)
)

/**
 * Cuts what comes in pieces into lines. Bytes are decoded line by line, so that what is not UTF-8 is told with its line.
 *
 * @internal
 */
export class Lines {
  private readonly decoder = new TextDecoder("utf-8", { fatal: true })
  private rest = ""

  private take(): Either.Either<string, string> {
    const line = this.rest
    this.rest = ""
    return Either.right(line)
  }

  private append(part: string | Uint8Array, stream: boolean): string | undefined {
    try {
      this.rest += typeof part === "string" ? part : this.decoder.decode(part, { stream })
      return undefined
    } catch (cause) {
      return `it is not UTF-8, or too long (${cause})`
    }
  }

  /** The lines that end in the piece. After an issue there is nothing to come. */
  *of(piece: string | Uint8Array): Iterable<Either.Either<string, string>> {
    for (let from = 0; from < piece.length;) {
      const end = typeof piece === "string" ? piece.indexOf("\n", from) : piece.indexOf(10, from)
      const to = end < 0 ? piece.length : end + 1
      const part = typeof piece === "string" ? piece.slice(from, to) : piece.subarray(from, to)
      const issue = this.append(part, true)
      if (issue !== undefined) return yield Either.left(issue)
      if (end >= 0) yield this.take()
      from = to
    }
  }

  /** What is left, if it is a line without an end. */
  *end(): Iterable<Either.Either<string, string>> {
    const issue = this.append(new Uint8Array(), false)
    if (issue !== undefined) yield Either.left(issue)
    else if (this.rest !== "") yield this.take()
  }
}
