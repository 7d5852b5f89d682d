/** Name of a node or tenant, safe in headers, URLs, log lines and longer names. */
export const NAME = /^[A-Za-z0-9_.-]{1,64}$/

/** Describes NAME in words. */
export const NAME_RULE = '1 to 64 of A-Z a-z 0-9 _ . -'
