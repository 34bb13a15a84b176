import { suite } from "./suites/memoizeKeys.js"

suite()
