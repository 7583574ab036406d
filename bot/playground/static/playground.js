// The page around SimCord's Preview: loaded before its own script, so that it sees what that script asks for.
import { startPage } from "./playground/page.js";
import { startSidebar } from "./playground/sidebar.js";
import { startLinks } from "./playground/links.js";
import { startMembers } from "./playground/members.js";
import { startCommands } from "./playground/commands.js";
import { startDrafts } from "./playground/drafts.js";
import { startFirstScreen } from "./playground/first.js";
import { startUploads } from "./playground/uploads.js";
import { startMenus } from "./playground/menus.js";
import { startFaults } from "./playground/faults.js";
import { startScrolling } from "./playground/scrolling.js";
import { startMessages } from "./playground/messages.js";

startPage();
startSidebar();
startMembers();
startCommands();
startDrafts();
startFirstScreen();
startUploads();
startMenus();
startFaults();
startMessages();
startLinks();
startScrolling();
