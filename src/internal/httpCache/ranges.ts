/**
 * Parts of a body: RFC 9110 section 14.
 *
 * @internal
 */

/**
 * From one byte through another.
 *
 * @internal
 */
export interface ByteRange {
  readonly first: number
  readonly last: number
}

/**
 * What a 206 holds, and of how much, if that is known.
 *
 * @internal
 */
export interface ContentRange extends ByteRange {
  readonly total: number | undefined
}

/** @internal */
export const contentRangeOf = (text: string | undefined): ContentRange | undefined => {
  const found = /^\s*bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)\s*$/i.exec(text ?? "")
  if (found === null) return undefined
  const [, first, last, total] = found
  const range = { first: Number(first), last: Number(last), total: total === "*" ? undefined : Number(total) }
  return range.last < range.first || (range.total !== undefined && range.last >= range.total) ? undefined : range
}

/** @internal */
export type RangeAsked =
  | { readonly _tag: "Bytes"; readonly range: ByteRange }
  /** Nothing of the body is in it. */
  | { readonly _tag: "Unsatisfiable" }
  /** Several, of another unit, or malformed: it may be ignored. */
  | { readonly _tag: "Ignored" }
  /** It needs what is not there. */
  | { readonly _tag: "Beyond" }

const ignored: RangeAsked = { _tag: "Ignored" }

/**
 * What a Range field asks of a body of which a part is there, the whole perhaps.
 *
 * @internal
 */
export const rangeAsked = (field: string, { first, last, total }: ContentRange): RangeAsked => {
  const found = /^\s*bytes\s*=\s*(?:(\d{1,15})\s*)?-\s*(?:(\d{1,15})\s*)?$/i.exec(field)
  if (found === null) return ignored
  const [, from = "", to = ""] = found
  if (from === "" && to === "") return ignored
  if (total === undefined && (from === "" || to === "")) return { _tag: "Beyond" }
  const end = total ?? Infinity
  const range = from === ""
    ? { first: Math.max(0, end - Number(to)), last: end - 1 }
    : { first: Number(from), last: Math.min(to === "" ? Infinity : Number(to), end - 1) }
  if (to !== "" && from !== "" && Number(to) < Number(from)) return ignored
  if (range.first >= end || (from === "" && Number(to) === 0)) return { _tag: "Unsatisfiable" }
  return range.first >= first && range.last <= last ? { _tag: "Bytes", range } : { _tag: "Beyond" }
}
