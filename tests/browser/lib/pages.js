// The pages of the console, as an administrator of the demonstration's school sees them.

/** The administrator. */
export const ADMINISTRATOR = "n-100";

/** Every page: its name, and its address or the link that leads to it. */
export const PAGES = [
  { name: "sessions", path: "/" },
  { name: "session", path: "/", link: 'main a[href^="/sessions/"]' },
  { name: "sign-out", path: "/", link: 'main a[href^="/sessions/"][href$="/sign-out"]' },
  { name: "sign-out-others", path: "/sign-out-others" },
  { name: "sign-out-everywhere", path: "/sign-out-everywhere" },
  { name: "ended", path: "/ended" },
];

/** Opens a page, and returns its address. */
export async function open(visitor, page) {
  await visitor.goto(page.path);
  if (page.link) {
    const link = visitor.page.locator(page.link).first();
    await visitor.goto(await link.getAttribute("href"));
  }
  return visitor.page.url();
}
