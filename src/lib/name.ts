/** What nodes and tenants are called: fit for a header, a URL, a log and a part of a longer name. */
export const NAME = /^[A-Za-z0-9_.-]{1,64}$/

/** The same in words. */
export const NAME_RULE = '1 to 64 of A-Z a-z 0-9 _ . -'
