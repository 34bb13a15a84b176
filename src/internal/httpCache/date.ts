/**
 * Dates of HTTP: RFC 9110 section 5.6.7, all three forms, and nothing else.
 *
 * @internal
 */
// Only the calendar is of `Date`, and no time is taken from it.
// @effect-diagnostics globalDate:off

const days = "Sun|Mon|Tue|Wed|Thu|Fri|Sat"
const longDays = "Sunday|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday"
const monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
const months = monthNames.join("|")
const time = "(?<hour>\\d{2}):(?<minute>\\d{2}):(?<second>\\d{2})"

// What a sender writes in the wrong case is read all the same.
const forms = [
  new RegExp(`^(?:${days}), (?<day>\\d{2}) (?<month>${months}) (?<year>\\d{4}) ${time} GMT$`, "i"),
  new RegExp(`^(?:${longDays}), (?<day>\\d{2})-(?<month>${months})-(?<year>\\d{2}) ${time} GMT$`, "i"),
  new RegExp(`^(?:${days}) (?<month>${months}) (?<day>[ \\d]\\d) ${time} (?<year>\\d{4})$`, "i")
]

const century = (now: number): number => Math.floor(new Date(now).getUTCFullYear() / 100) * 100

/** Of two digits: what seems to be more than 50 years ahead is the last one in the past with these digits. */
const isTooFar = (millis: number, now: number): boolean => {
  const farthest = new Date(now)
  farthest.setUTCFullYear(farthest.getUTCFullYear() + 50)
  return millis > farthest.getTime()
}

const timeOf = (
  { day = "", hour = "", minute = "", month = "", second = "" }: Readonly<Record<string, string>>,
  year: number
): number | undefined => {
  const date = [year, monthNames.indexOf(month.toLowerCase()), Number(day)] as const
  const at = new Date(0)
  at.setUTCFullYear(...date)
  const isReal = at.getUTCMonth() === date[1] && at.getUTCDate() === date[2] &&
    Number(hour) < 24 && Number(minute) < 60 && Number(second) <= 60
  return isReal ? at.setUTCHours(Number(hour), Number(minute), Number(second)) : undefined
}

const parse = (text: string, now: number): number | undefined => {
  for (const form of forms) {
    const found = form.exec(text.trim())?.groups
    if (found === undefined) continue
    const { year = "" } = found
    if (year.length === 4) return timeOf(found, Number(year))
    const millis = timeOf(found, century(now) + Number(year))
    return millis !== undefined && isTooFar(millis, now) ? timeOf(found, century(now) + Number(year) - 100) : millis
  }
  return undefined
}

/** Many responses have the same dates, at least the one of their second. */
const remembered = 100
const known = new Map<string, number | undefined>()

/**
 * Milliseconds since the epoch; undefined for what is no date of HTTP.
 *
 * @internal
 */
export const parseDate = (text: string | undefined, now: number): number | undefined => {
  if (text === undefined) return undefined
  // Years of two digits depend on the time.
  if (text.length !== 29) return parse(text, now)
  if (known.has(text)) return known.get(text)
  const found = parse(text, now)
  if (known.size === remembered) known.clear()
  known.set(text, found)
  return found
}

/**
 * As an IMF-fixdate.
 *
 * @internal
 */
export const formatDate = (millis: number): string => new Date(millis).toUTCString()
