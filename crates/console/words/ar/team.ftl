# The rooms of administrators: users, sessions, and signing out many.

team-nav = الفريق
team-nav-users = المستخدمون
team-nav-sessions = الجلسات

team-users = الفريق: المستخدمون
team-users-caption = المستخدمون، { $order }
team-sessions = الفريق: الجلسات
team-sessions-caption = الجلسات، { $order }
team-sessions-of = جلسات { $name }
team-total =
    { $count ->
        [zero] لا توجد جلسات نشطة في { $tenant }
        [one] جلسة نشطة واحدة في { $tenant }
        [two] جلستان نشطتان في { $tenant }
        [few] { $count } جلسات نشطة في { $tenant }
        [many] { $count } جلسة نشطة في { $tenant }
       *[other] { $count } جلسة نشطة في { $tenant }
    }
team-total-capped = أكثر من { $count } جلسة نشطة في { $tenant }
team-reading-only = يمكنك الاطلاع دون تغيير أي شيء. يمكن للمسؤول إنهاء الجلسات.
team-none-users = لا يوجد مستخدم مطابق.
team-none-sessions = لا توجد جلسة مطابقة.

# Finding
team-find-users = البحث عن مستخدمين
team-find-sessions = البحث عن جلسات
team-find = بحث
team-find-clear = عرض الكل
team-find-hint = أجزاء من الأسماء بأي ترتيب؛ لا فرق بين الحروف الكبيرة والصغيرة ولا أثر للتشكيل.
team-field-user-name = اسم المستخدم
team-field-person-name = الاسم الأول أو اسم العائلة
team-field-email = البريد الإلكتروني
team-field-network = العنوان عند تسجيل الدخول
team-field-network-hint = عنوان واحد، أو شبكة مثل 192.0.2.0/24
team-field-country-code = البلد
team-field-country-code-hint = حرفان، مثل EE
team-field-device-type = الجهاز
team-field-state = الحالة
team-field-end-cause = سبب الانتهاء
team-field-signed-in-after = أحدث تسجيل دخول من
team-field-signed-in-before = أحدث تسجيل دخول قبل
team-field-started-after = تسجيل الدخول من
team-field-started-before = تسجيل الدخول قبل
team-field-last-active-after = آخر نشاط من (يوم، UTC)
team-field-last-active-before = آخر نشاط قبل (يوم، UTC)
team-field-active-addresses-min = نشط الآن من هذا العدد من العناوين على الأقل
team-field-active-addresses-min-hint = من 2 إلى 100
team-field-shown = المستخدمون
team-shown-signed-in = ذوو الجلسات النشطة
team-shown-all = الجميع، بمن فيهم من سجلوا الخروج والمعطَّلون
team-any = أيّ
team-wrong = صحّح الحقول المشار إليها. لم يُجرَ أي بحث.
team-wrong-name = 8 كلمات و256 حرفًا على الأكثر، وليس فارغًا.
team-wrong-network = أدخل عنوانًا واحدًا، أو شبكة مثل 192.0.2.0/24.
team-wrong-country-code = أدخل حرفين، مثل EE.
team-wrong-time = أدخل تاريخًا صحيحًا. يجب ألا تكون البداية بعد النهاية.
team-wrong-active-addresses-min = أدخل عددًا من 2 إلى 100.

# Columns
team-column-select = تحديد
team-column-user-name = اسم المستخدم
team-column-person-name = اسم العائلة والاسم الأول
team-column-sign-in = أحدث تسجيل دخول
team-column-sessions = الجلسات
team-column-last-active = آخر نشاط
team-column-addresses = العناوين الآن
team-column-state = الحالة
team-column-roles = الأدوار
team-column-user = المستخدم
team-column-device = الجهاز
team-column-place = المكان
team-column-address = العنوان
team-column-signed-in = تسجيل الدخول
team-order-sign-in = الأحدث دخولًا أولًا
team-order-user-name = حسب اسم المستخدم
team-order-person-name = حسب اسم العائلة
team-order-sessions = الأكثر جلسات أولًا
team-order-last-active = الأحدث نشاطًا أولًا
team-order-start = الأحدث أولًا
team-order-user = حسب المستخدم
team-select-user = تحديد { $name }
team-select-session = تحديد جلسة { $name } على { $device }، تسجيل الدخول { $time }
team-select-all = تحديد كل ما في هذه الصفحة
team-select-none = إلغاء التحديد
team-more = أكثر من { $count }
team-never = أبدًا
team-findings =
    { $count ->
        [zero] لا ملاحظات
        [one] ملاحظة واحدة
        [two] ملاحظتان
        [few] { $count } ملاحظات
        [many] { $count } ملاحظة
       *[other] { $count } ملاحظة
    }

# States
team-state-active-now = نشط الآن
team-state-idle = خامل
team-state-signed-out = سجل الخروج
team-state-disabled = معطَّل
team-state-you = أنت
team-state-this = جلستك
team-session-active = نشطة
team-session-expired = منتهية الصلاحية
team-session-signed-out = سجل المستخدم الخروج
team-session-revoked = أُنهيت
team-session-any = أيّ حالة، بما فيها المنتهية
team-role-1 = الدعم
team-role-2 = مسؤول
team-role-none = لا شيء

# Pages of lists
team-pages = الصفحات
team-page = الصفحة { $number }
team-page-previous = الصفحة السابقة
team-search-gone = لم يعد هذا البحث متاحًا
team-search-gone-why = أنشأت عنوانَه وحدةُ تحكم سابقة، أو كان لشخص آخر. لم يتغير شيء.
team-search-again = ابحث مرة أخرى
team-page-gone = لم تعد هذه الصفحة من القائمة متاحة. هذه هي الصفحة الأولى.

# Actions
team-end-selected = إنهاء الجلسات المحددة…
team-end-matching = إنهاء كل ما يطابق…
team-end-users = إنهاء الجلسات…
team-end-disable = إنهاء وتعطيل…
team-enable = إعادة التفعيل…
team-end-all-of-user = إنهاء كل الجلسات…

# One user
team-user = المستخدم
team-user-id = معرّف المستخدم
team-user-created = شوهد أول مرة
team-user-disabled = عُطِّل { $time }. لا يمكن للمستخدم تسجيل الدخول ولا تجديد الجلسة.
team-user-own = هذا حسابك. على مسؤول آخر أن يعطّلك أو يغيّر أدوارك.
team-user-show-ended = عرض الجلسات المنتهية أيضًا
team-user-hide-ended = عرض الجلسات النشطة فقط
team-ended-why = { $cause }: { $reason }
team-roles = الأدوار
team-roles-what = يطّلع الدعم على جلسات الفريق ومستخدميه وإعداداته وسجل التدقيق. ويمكن للمسؤول تغييرها أيضًا.
team-roles-save = تغيير الأدوار
team-roles-changed = غيّر شخص ما الأدوار في هذه الأثناء. الأدوار الحالية أدناه. لم يتغير شيء.

# Before something ends
team-preview =
    { $count ->
        [zero] لا توجد جلسة نشطة الآن.
        [one] ستنتهي جلسة واحدة.
        [two] ستنتهي جلستان.
        [few] ستنتهي { $count } جلسات.
        [many] ستنتهي { $count } جلسة.
       *[other] ستنتهي { $count } جلسة.
    }
team-preview-capped = ستنتهي أكثر من { $count } جلسة.
team-preview-sample = أحدثها
team-preview-later = ستنتهي أيضًا الجلسات التي تُفتح قبل أن تؤكد.
team-force = تسجيل خروج إجباري
team-force-what = ينهي كل جلسات المستخدمين. يمكنهم تسجيل الدخول مجددًا ما لم تعطّلهم.
team-force-users = المستخدمون الذين سيُسجَّل خروجهم
team-force-ids = معرّفات المستخدمين
team-force-ids-hint = معرّف واحد في كل سطر، 1000 على الأكثر. يُسجَّل أيضًا خروج المعرّفات غير المعروفة بعد.
team-force-look = اعرض ما سينتهي
team-force-one = تسجيل خروج { $name }
team-force-many =
    { $count ->
        [zero] لا مستخدمين
        [one] تسجيل خروج مستخدم واحد
        [two] تسجيل خروج مستخدمَين
        [few] تسجيل خروج { $count } مستخدمين
        [many] تسجيل خروج { $count } مستخدمًا
       *[other] تسجيل خروج { $count } مستخدم
    }
team-force-unknown = لم يسجل الدخول قط
team-force-own = أنت واحد منهم: سيُسجَّل خروجك أيضًا.
team-force-own-disable = أنت واحد منهم. لا يمكنك تعطيل نفسك: على مسؤول آخر أن يفعل ذلك.
team-force-confirm = إنهاء الجلسات
team-force-disable = تعطيل أيضًا: يُرفض تسجيل الدخول الجديد وتنتهي مفاتيح API
team-reason = السبب
team-reason-hint = لسجل التدقيق. 1024 بايت على الأكثر.
team-message = نص للمستخدم
team-message-hint = يراه المستخدم عند تسجيل خروجه. يمكن أن يبقى فارغًا. 1024 بايت على الأكثر.
team-wrong-reason = أدخل سببًا من 1024 بايت على الأكثر.
team-wrong-message = 1024 بايت على الأكثر.
team-wrong-users = سمِّ من 1 إلى 1000 مستخدم. المعرّف 128 بايت على الأكثر.
team-wrong-sessions = حدّد جلسة واحدة على الأقل.
team-end = إنهاء الجلسات
team-end-what = تنتهي هذه الجلسات فقط. يبقى المستخدمون مسجَّلي الدخول في أماكن أخرى.
team-end-confirm = إنهاء هذه الجلسات
team-matching = إنهاء كل الجلسات المطابقة
team-matching-what = ينهي 1000 على الأكثر في المرة، الأحدث أولًا. تبقى الجلسات التي تطابق لاحقًا.
team-matching-condition = { $field }: { $value }
team-enable-title = إعادة تفعيل { $name }
team-enable-what = يمكن للمستخدم تسجيل الدخول مجددًا. تبقى الجلسات ومفاتيح API المنتهية منتهية.
team-enable-not = هذا المستخدم غير معطَّل. لا شيء للتراجع عنه.
team-enable-confirm = تفعيل المستخدم
team-everyone = تسجيل خروج الفريق كله
team-everyone-what = ينهي كل جلسة في { $tenant }، وجلستك أيضًا. على الجميع تسجيل الدخول مجددًا.
team-everyone-type = اكتب { $tenant } للتأكيد
team-everyone-confirm = تسجيل خروج الجميع
team-wrong-confirmation = اكتب الاسم بالضبط: { $tenant }

# Afterwards
team-done = تم
team-done-ended =
    { $count ->
        [zero] لم يبق شيء لإنهائه: لم تكن أي جلسة نشطة.
        [one] أُنهيت جلسة واحدة.
        [two] أُنهيت جلستان.
        [few] أُنهيت { $count } جلسات.
        [many] أُنهيت { $count } جلسة.
       *[other] أُنهيت { $count } جلسة.
    }
team-done-ended-capped = أُنهيت أكثر من { $count } جلسة.
team-done-disabled =
    { $count ->
        [zero] لا مستخدمين معطَّلين.
        [one] المستخدم معطَّل.
        [two] مستخدمان معطَّلان.
        [few] { $count } مستخدمين معطَّلون.
        [many] { $count } مستخدمًا معطَّلون.
       *[other] { $count } مستخدم معطَّلون.
    }
team-done-enabled = يمكن للمستخدم تسجيل الدخول مجددًا.
team-done-roles = الأدوار سارية: { $roles }.
team-done-unknown = لم يسجل هؤلاء المستخدمون الدخول قط، والأرجح أنهم أخطاء:
team-done-unknown-more =
    { $count ->
        [zero] ولا أحد غيرهم
        [one] وواحد آخر
        [two] واثنان آخران
        [few] و{ $count } آخرون
        [many] و{ $count } آخر
       *[other] و{ $count } آخر
    }
team-done-more = توجد جلسات أخرى مطابقة.
team-done-more-again = اعرض الباقي…
team-done-own = انتهت جلستك أيضًا.
team-done-sign-in = تسجيل الدخول مجددًا
team-back = العودة إلى القائمة
team-back-user = العودة إلى المستخدم
