//! Texts that many screens share.

use crate::texts;

texts! {
    APP = "Leveret" | "Leveret";
    OVERVIEW = "Overview" | "概览";
    QUEUES = "Queues" | "队列";
    QUEUE = "Queue" | "队列";
    EXCHANGES = "Exchanges" | "交换机";
    EXCHANGE = "Exchange" | "交换机";
    BINDINGS = "Bindings" | "绑定";
    CONNECTIONS = "Connections" | "连接";
    CONNECTION = "Connection" | "连接";
    CHANNELS = "Channels" | "信道";
    CONSUMERS = "Consumers" | "消费者";
    SETTINGS = "Settings" | "设置";
    BROKERS = "Brokers" | "消息服务器";
    GALLERY = "Widgets" | "控件";

    NAME = "Name" | "名称";
    TYPE = "Type" | "类型";
    VHOST = "Vhost" | "虚拟主机";
    STATE = "State" | "状态";
    FEATURES = "Features" | "特性";
    POLICY = "Policy" | "策略";
    ARGUMENTS = "Arguments" | "参数";
    USER = "User" | "用户";
    PASSWORD = "Password" | "密码";
    READY = "Ready" | "就绪";
    UNACKED = "Unacked" | "未确认";
    TOTAL = "Total" | "总数";
    PUBLISH_RATE = "Publish/s" | "发布/秒";
    DELIVER_RATE = "Deliver/s" | "投递/秒";
    ACK_RATE = "Ack/s" | "确认/秒";
    PUBLISHED = "Published" | "发布";
    DELIVERED = "Delivered" | "投递";
    ACKED = "Acknowledged" | "确认";
    PER_SECOND = "{}/s" | "{}/秒";
    ROUTING_KEY = "Routing key" | "路由键";
    PREFETCH = "Prefetch" | "预取";
    DURABLE = "Durable" | "持久";
    AUTO_DELETE = "Auto-delete" | "自动删除";
    EXCLUSIVE = "Exclusive" | "独占";
    INTERNAL = "Internal" | "内部";
    YES = "yes" | "是";
    NO = "no" | "否";
    NONE = "none" | "无";
    DEFAULT_EXCHANGE = "(default)" | "（默认）";

    CANCEL = "Cancel" | "取消";
    CLOSE = "Close" | "关闭";
    DELETE = "Delete" | "删除";
    DELETE_DOTS = "Delete…" | "删除…";
    PURGE_DOTS = "Purge…" | "清空…";
    SAVE = "Save" | "保存";
    COPY = "Copy" | "复制";
    RETRY = "Try again" | "重试";
    REFRESH = "Refresh" | "刷新";
    BACK = "Back" | "后退";
    FORWARD = "Forward" | "前进";
    UNDO = "Undo" | "撤销";
    ADD = "Add" | "添加";
    REMOVE = "Remove" | "移除";
    DECLARE = "Declare" | "声明";
    PUBLISH = "Publish" | "发布";
    BIND = "Bind" | "绑定";
    UNBIND = "Unbind" | "解绑";
    OPEN = "Open" | "打开";

    LOADING = "Loading…" | "正在加载…";
    CLEAR_FILTER = "Clear the filter" | "清除筛选";
    NOTHING_MATCHES = "Nothing matches “{}”." | "没有与“{}”匹配的内容。";
    STALE = "{} old: {}" | "{} 前的数据：{}";
    COPY_DETAILS = "Copy details" | "复制详情";
    READ_ONLY = "read-only" | "只读";
    PRODUCTION = "PRODUCTION" | "生产环境";

    PROBLEM_UNREACHABLE = "The broker cannot be reached" | "无法连接到消息服务器";
    PROBLEM_TLS = "No secure connection to the broker" | "无法建立安全连接";
    PROBLEM_TIMEOUT = "The broker does not answer in time" | "消息服务器响应超时";
    PROBLEM_UNAUTHORISED = "The broker does not accept this user and password" | "用户名或密码不被接受";
    PROBLEM_FORBIDDEN = "This user may not see this" | "此用户无权查看";
    PROBLEM_NOT_FOUND = "It is not there" | "不存在";
    PROBLEM_REFUSED = "The broker refuses this" | "消息服务器拒绝了此请求";
    PROBLEM_CHANGED = "It changed in the meantime" | "内容已被更改";
    PROBLEM_SERVER = "The broker failed" | "消息服务器出错";
    PROBLEM_MALFORMED = "The broker's answer makes no sense" | "无法理解消息服务器的响应";
    PROBLEM_CANCELLED = "It was stopped" | "已停止";
    HELP_UNREACHABLE = "Is it running, and is this its management address?" | "请检查服务是否运行，以及管理地址是否正确。";
    HELP_TLS = "Its certificate may be from an authority that this machine does not know." | "证书可能由本机不信任的机构签发。";
    HELP_TIMEOUT = "It may be overloaded. The console tries again by itself." | "服务可能过载，控制台会自动重试。";
    HELP_UNAUTHORISED = "Check the user and the password. guest may log in from the broker's own machine only." | "请检查用户名和密码。guest 只能从服务器本机登录。";
    HELP_FORBIDDEN = "Ask for a user with the tag monitoring or administrator." | "请使用带有 monitoring 或 administrator 标签的用户。";
    HELP_NOT_FOUND = "It may have been deleted, or this broker does not offer it." | "它可能已被删除，或此服务器不提供该功能。";
    HELP_REFUSED = "The reason is below." | "原因如下。";
    HELP_CHANGED = "Look again, then repeat it." | "请重新查看后再试。";
    HELP_SERVER = "Its log tells more." | "请查看服务器日志。";
    HELP_MALFORMED = "Something between the console and the broker may answer in its place." | "中间的代理可能代替服务器作出了响应。";
    HELP_CANCELLED = "Nothing more will happen." | "不会再有其他操作。";

    RABBITMQ_LACKS = "This broker ({}) does not offer this: it needs Leveret." | "此服务器（{}）不提供该功能，需要 Leveret。";
}
