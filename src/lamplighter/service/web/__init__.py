"""The pages: what a device-operations team has open all day, and at three in the morning.

- `app`: the application, put together from the pages, the API and the routes that watch over it.
- `security`: the one middleware that stands before all of them, and who may do what.
- `page`: how a page is rendered, and how one goes on to the next.
- `words`: how values are written for people: moments, versions, states.
- `assets`: style and script files, and what to do where they were not fetched.
- `pages`: one module a page. Each reads well with no script at all: links are links, and forms are posted and
  answered with a redirect.

Nothing here decides or remembers: a page asks the office, and shows what it says.
"""
