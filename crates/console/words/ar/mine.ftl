# جلسات الشخص نفسه.

mine-title = جلساتي
mine-lead = كل مكان سجّلت فيه الدخول. إن لم تعرف أحدها فأنهِه وغيّر كلمة مرورك.
mine-back = كل جلساتي
mine-pages = مزيد من الجلسات
mine-this-session = هذه الجلسة
mine-other-sessions = الجلسات الأخرى
mine-no-others = لا توجد لك جلسة في مكان آخر.
mine-current = هذا الجهاز
mine-suspicious = يُرجى التحقق
mine-suspicious-count = { $count ->
    [one] جلسة واحدة تبدو غير معتادة. تحقق منها.
    [two] جلستان تبدوان غير معتادتين. تحقق منهما.
    [few] { $count } جلسات تبدو غير معتادة. تحقق منها.
   *[other] { $count } جلسة تبدو غير معتادة. تحقق منها.
}
mine-hidden = مؤسستك لا تعرض الجلسات هنا. يمكنك مع ذلك إنهاء هذه الجلسة.
mine-sign-out = تسجيل الخروج
mine-sign-out-here = تسجيل الخروج من هذه الجلسة
mine-sign-out-others = إنهاء كل الجلسات الأخرى
mine-sign-out-everywhere = تسجيل الخروج من كل مكان
mine-last-active = آخر نشاط
mine-status-active = نشطة الآن
mine-status-idle = خاملة
mine-state-ended = منتهية

mine-slot-day = خلال آخر 24 ساعة
mine-slot-week = خلال آخر 7 أيام
mine-slot-older = قبل ذلك

mine-device-unknown = جهاز غير معروف
mine-device-on = { $program } على { $machine }
mine-type-desktop = الحواسيب
mine-type-phone = الهواتف
mine-type-tablet = الأجهزة اللوحية
mine-type-tv = أجهزة التلفاز
mine-type-program = البرامج
mine-type-unknown = أجهزة أخرى

mine-facts = التفاصيل
mine-fact-user = المستخدم
mine-fact-user-id = معرّف المستخدم
mine-fact-device = الجهاز
mine-fact-place = المكان
mine-fact-operator = مشغّل الشبكة
mine-fact-address = العنوان
mine-fact-created = تسجيل الدخول
mine-fact-last-active = آخر نشاط
mine-fact-actions = الطلبات
mine-fact-sign-ins = مرات الدخول من هذا الجهاز
mine-fact-last-page = آخر صفحة
mine-fact-methods = طريقة الدخول
mine-fact-acr = مستوى الدخول
mine-fact-authenticated = تأكيد الهوية
mine-fact-idle-end = تنتهي إن لم تُستخدم
mine-fact-end = تنتهي على الأكثر
mine-fact-ended = انتهت
mine-fact-why = السبب
mine-fact-reason = السبب، للمسؤولين
mine-fact-actor = أنهاها
mine-fact-id = معرّف الجلسة

mine-method-pwd = كلمة مرور
mine-method-otp = رمز لمرة واحدة
mine-method-sms = رسالة نصية
mine-method-key = مفتاح أمان
mine-method-biometric = وجه أو بصمة
mine-method-pin = رقم سري
mine-method-mfa = عدة عوامل
mine-method-card = بطاقة ذكية

mine-findings = تبدو هذه الجلسة غير معتادة
mine-advice = إن لم تكن أنت:
mine-level-high = خطير
mine-level-medium = غير معتاد
mine-level-low = للعلم
mine-finding-unknown = مكان غير معروف
mine-finding-new-device = لم تسجّل الدخول من هذا الجهاز من قبل.
mine-finding-new-country = لم تسجّل الدخول من { $country } من قبل.
mine-finding-new-city = لم تسجّل الدخول من { $city } من قبل.
mine-finding-new-network = لم تسجّل الدخول من هذه الشبكة من قبل.
mine-finding-impossible-travel = كان عليك أن تسافر { $distance } كم من { $from } إلى { $to } أسرع من طائرة.
mine-finding-old-session = { $days ->
    [one] عمر هذه الجلسة يوم واحد.
    [two] عمر هذه الجلسة يومان.
    [few] عمر هذه الجلسة { $days } أيام.
   *[other] عمر هذه الجلسة { $days } يومًا.
}
mine-finding-country-changed = فُتحت في { $from } وتُستخدم في { $to }.
mine-finding-refresh-token-reused = لدى شخص ما نسخة من هذه الجلسة. وقد أُنهيت.
mine-finding-refresh-token-shared = يستخدم جهازان هذه الجلسة في الوقت نفسه. قد تكون لدى أحدهما نسخة.
mine-finding-other = في هذه الجلسة شيء غير معتاد.
mine-advice-end-session = أنهِ هذه الجلسة
mine-advice-end-all-sessions = سجّل الخروج من كل مكان
mine-advice-change-password = غيّر كلمة مرورك
mine-advice-second-factor = فعّل عاملًا ثانيًا
mine-advice-recent-changes = تحقق من آخر التغييرات في حسابك
mine-advice-audit-log = اقرأ سجل التدقيق

mine-confirm-title = هل تريد إنهاء هذه الجلسة؟
mine-confirm-of = إنها جلسة { $user }.
mine-confirm-current = ستغادر هذه الصفحة فورًا وعليك تسجيل الدخول من جديد.
mine-confirm-other = ستُرفض فورًا في كل مكان. ما لم يُحفظ هناك سيضيع.
mine-confirm-ended = انتهت هذه الجلسة من قبل. لا شيء لإنهائه.
mine-confirm-see = انظر كيف انتهت
mine-confirm-reason = السبب
mine-confirm-reason-hint = مطلوب. يبقى في سجل التدقيق ولا يراه المستخدم.
mine-confirm-message = نص للمستخدم
mine-confirm-message-hint = يراه المستخدم بعد تسجيل الخروج.
mine-include-current = أنهِ الحالية أيضًا
mine-others-lead = تنتهي فورًا كل الجلسات ما عدا هذه.
mine-everywhere-lead = تنتهي فورًا كل الجلسات، وهذه أيضًا. عليك تسجيل الدخول من جديد.
mine-ending = { $count ->
    [one] تنتهي جلسة أخرى واحدة
    [two] تنتهي جلستان أخريان
    [few] تنتهي { $count } جلسات أخرى
   *[other] تنتهي { $count } جلسة أخرى
}
mine-ending-capped = تنتهي أكثر من { $count } جلسة أخرى
mine-ending-unlisted = { $count ->
    [one] وواحدة أخرى.
   *[other] و{ $count } أخرى.
}
mine-done-one = أُنهيت الجلسة.
mine-done-others = أُنهيت كل الجلسات الأخرى.
mine-done-everywhere = سُجّل خروجك من كل مكان.

mine-ended-link = الجلسات المنتهية
mine-ended-title = الجلسات المنتهية
mine-ended-lead = أحدث الجلسات التي انتهت، ولماذا.
mine-ended-none = لم تنتهِ أي جلسة مؤخرًا.
mine-end-user = سجّلت الخروج.
mine-end-another-device = أنهيتها من جلسة أخرى.
mine-end-identity-provider = سجّلت مؤسستك خروجك.
mine-end-administrator = أنهاها مسؤول.
mine-end-user-disabled = عطّل مسؤول حسابك.
mine-end-refresh-token-reused = استخدم شخص ما نسخة من هذه الجلسة فأُنهيت.
mine-end-replaced = حلّ محلها دخول أحدث من الجهاز نفسه.
mine-end-recovery = سُجّل خروج الجميع بعد استعادة خدمة الدخول.
mine-end-policy = لم تعد توافق إعدادات مؤسستك.
mine-end-idle = لم تُستخدم مدة طويلة.
mine-end-password-changed = غُيّرت كلمة مرورك.
mine-end-second-factor-changed = غُيّر عاملك الثاني.
mine-end-session-limit = كانت الجلسات كثيرة وهذه أقدمها.
mine-end-expired = بلغت نهايتها.
mine-end-unknown = انتهت.

mine-signed-out-title = سُجّل خروجك
mine-signed-out-plain = لا توجد جلسة على هذا الجهاز. سجّل الدخول لترى جلساتك.
mine-signed-in-title = أنت مسجّل الدخول
mine-signed-in = لم تنتهِ هذه الجلسة.
mine-message = الرسالة الموجّهة إليك:
mine-leave = مغادرة
mine-next-sign-in = سجّل الدخول من جديد للمتابعة.
mine-next-copied = سجّل الدخول من جديد وغيّر كلمة مرورك. ثم أنهِ كل جلسة لا تعرفها.
mine-next-disabled = لا يمكنك تسجيل الدخول الآن. اسأل مؤسستك.
mine-next-another-device = إن لم تكن أنت فسجّل الدخول وغيّر كلمة مرورك.
mine-next-administrator = يمكنك تسجيل الدخول من جديد ما لم تقل مؤسستك غير ذلك.
