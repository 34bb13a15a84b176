import { kinds } from "./engines.js"
import { suite } from "./suites/ktSchedule.js"

for (const engine of kinds) suite(engine)
