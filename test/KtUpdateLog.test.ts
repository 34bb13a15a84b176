import { kinds } from "./engines.js"
import { suite } from "./suites/ktUpdateLog.js"

for (const engine of kinds) suite(engine)
