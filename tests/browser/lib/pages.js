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
  { name: "team-users", path: "/team" },
  { name: "team-user", path: "/team/users/n-105" },
  { name: "team-sessions", path: "/team/sessions" },
  { name: "force-sign-out", path: "/team/users/n-105/force-sign-out" },
  { name: "team-sign-out", path: "/team/sign-out" },
  { name: "settings", path: "/settings" },
  { name: "api-sessions", path: "/api-sessions" },
  { name: "api-session", path: "/api-sessions", link: 'main a[href^="/api-sessions/key_"]' },
  { name: "api-session-new", path: "/api-sessions/new" },
  { name: "audit", path: "/audit" },
  { name: "gates", path: "/gates" },
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
