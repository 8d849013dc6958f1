// The shipped one (`earshot/testing`), under the name that tests know.
export * from "../../lib/virtual-clock.ts"
